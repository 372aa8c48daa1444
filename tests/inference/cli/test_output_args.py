"""Options of a completion's format and end are fields of requests."""

import pytest
from concordance_inference.cli.options import Generate
from concordance_inference.cli.output_args import fields_of, output_of
from concordance_inference.loop_detection import LoopDetection
from concordance_shared import InvalidRequestError


def options(**given):
    return Generate(prompt="hi", **given)


def test_ends_are_fields_of_a_request():
    given = options(min_tokens=3, max_tokens=9, stop_token_id=[7, 8], ignore_eos=True)

    assert fields_of(given) == {
        "max_tokens": 9,
        "min_tokens": 3,
        "stop_token_ids": (7, 8),
        "ignore_eos": True,
    }


@pytest.mark.parametrize(
    ("name", "content", "kind", "value"),
    [
        ("json_schema", '{"type": "object"}', "json", {"type": "object"}),
        ("grammar", "start: WORD", "grammar", "start: WORD"),
    ],
)
def test_format_is_read_from_a_file(tmp_path, name, content, kind, value):
    (tmp_path / "file").write_text(content)

    given = options(**{name: tmp_path / "file"})

    assert (output_of(given).kind, output_of(given).value) == (kind, value)
    assert fields_of(given)["structured_outputs"] == {kind: value}


def test_regex_and_choices_are_formats():
    assert fields_of(options(regex="a+"))["structured_outputs"] == {"regex": "a+"}
    assert fields_of(options(choice=["a", "b"]))["structured_outputs"] == {"choice": ["a", "b"]}
    assert output_of(options()) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"{", "not a JSON Schema"), (b"[]", "not a JSON Schema"), (b"\xff", "not UTF-8 at byte 0")],
)
def test_damaged_file_is_refused_by_its_name(tmp_path, content, words):
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(InvalidRequestError, match=f"--json-schema .*file: {words}"):
        output_of(options(json_schema=tmp_path / "file"))


@pytest.mark.parametrize(
    ("given", "mode", "action"),
    [
        ({"loop_detection": "full"}, "full", "end"),
        ({"loop_action": "rewind"}, "cheap", "rewind"),
        ({"loop_detection": "off"}, "off", "end"),
    ],
)
def test_loop_detection_is_a_field_of_a_request(given, mode, action):
    assert fields_of(options(**given))["loop_detection"] == LoopDetection(mode=mode, action=action)


def test_request_without_the_options_leaves_loop_detection_to_the_server():
    assert "loop_detection" not in fields_of(options())
