"""Parameters of class mods: annotated attributes, and the values that requests give for them."""

import pytest
from concordance_sdk import use
from concordance_sdk.builtin import Avoid, Replace
from concordance_sdk.parameters import parameters_of, parse_parameters
from concordance_shared import InvalidRequestError


class Mod:
    words: list[str] = []  # noqa: RUF012  # copied for each request
    weights: dict[str, float] = {}  # noqa: RUF012
    count: int = 1


PARAMETERS = parameters_of(Mod, name="mod", where="here")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("words", "red", ["red"]),
        ("words", "red, or blue", ["red, or blue"]),
        ("words", '["red", "blue"]', ["red", "blue"]),
        ("words", "[]", []),
        ("weights", '{"red": 2}', {"red": 2.0}),
        ("count", "3", 3),
    ],
)
def test_text_of_the_command_line_is_decoded_by_the_parameter_type(key, text, value):
    assert parse_parameters(PARAMETERS, {key: text}, name="mod", strict=False)[key] == value


@pytest.mark.parametrize(("key", "text"), [("words", "[red"), ("weights", "red"), ("count", "x")])
def test_text_that_is_no_value_of_the_parameter_type_is_rejected(key, text):
    with pytest.raises(InvalidRequestError, match=rf"at `\$\.{key}`"):
        parse_parameters(PARAMETERS, {key: text}, name="mod", strict=False)


@pytest.mark.parametrize("text", ["red", '["red"]'])
def test_json_requests_must_give_lists_as_lists(text):
    with pytest.raises(InvalidRequestError, match=r"expected `array`.*at `\$\.words`"):
        parse_parameters(PARAMETERS, {"words": text}, name="mod")


def test_default_lists_are_copied_for_each_request():
    first, second = (parse_parameters(PARAMETERS, {}, name="mod") for _ in range(2))
    first["words"].append("red")

    assert second["words"] == []


@pytest.mark.parametrize(
    "values", [{"find": "a\ud800", "replacement": ""}, {"find": "a", "replacement": "\udc00"}]
)
def test_a_parameter_with_half_of_a_surrogate_pair_is_rejected_by_its_name(values):
    name = "find" if "\ud800" in values["find"] else "replacement"

    with pytest.raises(InvalidRequestError, match=f"mod 'replace': `{name}`: .* half of a"):
        use(Replace, **values)


def test_a_list_parameter_with_half_of_a_surrogate_pair_is_rejected():
    with pytest.raises(InvalidRequestError, match="mod 'avoid': `words`"):
        use(Avoid, words=["ok", "\ud83d"])
