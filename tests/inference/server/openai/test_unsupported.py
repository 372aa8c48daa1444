"""Fields of other servers that are refused by name."""

import msgspec
import pytest
from concordance_inference.server.openai.unsupported import (
    FIELDS,
    MESSAGE_FIELDS,
    refuse_renamed,
    refuse_unsupported,
)
from concordance_shared import InvalidRequestError


def raw(**fields):
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


@pytest.mark.parametrize("known", [FIELDS, MESSAGE_FIELDS])
def test_null_and_every_harmless_value_are_accepted(known):
    for name, harmless in known.items():
        for value in (None, *harmless):
            refuse_unsupported(raw(**{name: value}), known)


@pytest.mark.parametrize("known", [FIELDS, MESSAGE_FIELDS])
def test_every_other_value_is_refused_by_the_name_of_the_field(known):
    for name in known:
        with pytest.raises(InvalidRequestError, match="not supported by this server") as error:
            refuse_unsupported(raw(**{name: {"unusual": 1}}), known, at="messages[2].")
        assert error.value.param == f"messages[2].{name}"


@pytest.mark.parametrize(
    ("name", "value"), [("echo", 0), ("length_penalty", True), ("top_a", False)]
)
def test_a_boolean_is_no_number(name, value):
    with pytest.raises(InvalidRequestError):
        refuse_unsupported(raw(**{name: value}), FIELDS)


def test_a_number_is_harmless_in_every_spelling():
    given = {"length_penalty": msgspec.Raw(b" 1.0 "), "repeat_last_n": msgspec.Raw(b"-1.0e0")}
    refuse_unsupported(given, FIELDS)


@pytest.mark.parametrize("value", [b'"\xff"', b"[" * 60, b'"' + b"x" * 10**6 + b'"'])
def test_a_value_that_is_long_or_no_json_is_refused_and_quoted_in_part(value):
    with pytest.raises(InvalidRequestError) as error:
        refuse_unsupported({"echo": msgspec.Raw(value)}, FIELDS)
    assert len(str(error.value)) < 200


def test_an_unknown_field_is_none_of_these():
    refuse_unsupported(raw(anything=1), FIELDS)


@pytest.mark.parametrize("value", [None, False, [], ""])
def test_a_renamed_field_that_is_empty_is_accepted(value):
    refuse_renamed(raw(old=value), {"old": "new"})


def test_a_renamed_field_is_refused_with_the_name_here():
    with pytest.raises(InvalidRequestError, match="use new") as error:
        refuse_renamed(raw(old=1, other=1), {"old": "new"})
    assert error.value.param == "old"
