"""The model string: a model, and mods after it."""

import pytest
from concordance_inference.server.model_name import parse_model, unknown_model
from concordance_shared import UnknownModelError

KNOWN = ["owner/name", "small", "small:tuned", "small/x"]


def parsed(text):
    name, mods = parse_model(text, KNOWN)
    return name, [mod.name for mod in mods]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("small", ("small", [])),
        ("owner/name", ("owner/name", [])),
        ("owner/name/avoid", ("owner/name", ["avoid"])),
        ("small/avoid+replace", ("small", ["avoid", "replace"])),
        ("small:tuned/avoid", ("small:tuned", ["avoid"])),
        ("small/x", ("small/x", [])),  # a model before a mod of this name
        ("small/x/y", ("small/x", ["y"])),
        ("small/", ("small", [""])),  # which no mod has
        ("small/a+", ("small", ["a", ""])),
    ],
)
def test_mods_follow_the_longest_name_of_a_model(text, expected):
    assert parsed(text) == expected


@pytest.mark.parametrize("text", ["", "/", "smal", "owner", "owner/", "Small", "small/a/b"])
def test_another_model_is_an_error_that_names_those_that_are_served(text):
    with pytest.raises(UnknownModelError, match="owner/name") as error:
        parse_model(text, KNOWN)
    assert error.value.param == "model"
    assert "'owner/name/<mod>+<mod>'" in str(error.value)


def test_a_message_lists_a_bounded_number_of_names_and_a_bounded_part_of_the_given_one():
    message = str(unknown_model("x" * 10_000, [f"m{i}" for i in range(100)]))

    assert "'m15' and 84 more" in message
    assert len(message) < 600
