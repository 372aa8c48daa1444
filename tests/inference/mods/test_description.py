"""The description of a mod for clients."""

import msgspec
import pytest
from concordance_inference.mods.description import description_of
from concordance_sdk import Added, builtin, mod
from concordance_sdk.host import definition_of


@mod(on=[Added], registered=False)
def watch(event, actions):
    """Watches added tokens.

    Does nothing else.
    """


def described(target):
    return msgspec.json.decode(description_of(definition_of(target), {"source": "here"}))


def test_a_description_has_the_first_line_of_the_docstring_and_the_events():
    about = described(watch)

    assert about["description"] == "Watches added tokens."
    assert (about["events"], about["has_parts"]) == (["Added"], False)
    assert about["source"] == "here"


def test_parts_which_handle_events_are_not_hidden():
    about = described(builtin.Avoid)

    assert (about["events"], about["has_parts"]) == ([], True)


@pytest.mark.parametrize("target", [getattr(builtin, name) for name in builtin.__all__])
def test_parameters_are_a_json_schema(target):
    assert described(target)["parameters"] is not None
