"""Uploaded callables without `@mod` whose source does not import `quote_mod_sdk`."""

import pytest
from concordance_inference.mods.loading import load_payload
from concordance_sdk import ModPayload
from concordance_sdk.testing import play
from concordance_shared import ModLoadError


def upload(source):
    return load_payload(ModPayload(name="uploaded", entrypoint="raw", source=source))[0]


FIRST = """
    is_first = type(event).__name__ == "ForwardPass" and event.step == 0
    return actions.force_tokens(tokenizer.encode("raw ")) if is_first else None
"""


@pytest.mark.parametrize(
    "raw",
    [
        "def raw(event, actions, tokenizer):",
        "def raw(event, tokenizer, actions):",
        "def raw(event, tokenizer=None, actions=None):",
        "def raw(event, *, tokenizer, actions):",
        "class Raw:\n  def __call__(self, event, tokenizer, actions): return act(event, actions, "
        "tokenizer)\nraw = Raw()\ndef act(event, actions, tokenizer):",
    ],
)
def test_arguments_are_bound_by_name_in_any_order(raw):
    definition = upload(f"{raw}{FIRST}")

    assert definition.name == "uploaded"
    assert play(definition, says="meat").text == "raw meat"


def test_a_callable_of_event_and_tokenizer_gets_the_tokenizer():
    definition = upload(
        """
from concordance_sdk import ForceOutput, Prefilled
def raw(event, tokenizer):
    '''Says hey.'''
    if isinstance(event, Prefilled):
        return ForceOutput(tokenizer.encode("hey"))
"""
    )

    assert (definition.doc, definition.where) == ("Says hey.", "<mod uploaded>/client_mod.py:3")
    assert play(definition, says="").text == "hey"


def test_arguments_of_other_names_are_positional():
    definition = upload("def raw(e, a):\n    return None")

    assert play(definition, says="ok").text == "ok"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("def raw(event): ...", "it must take"),
        ("def raw(event, other, tokenizer, actions): ...", "it must take"),
        ("async def raw(event, tokenizer): ...", "is async"),
        ("raw = 3", "is not a mod"),
    ],
)
def test_an_uploaded_callable_with_an_unsupported_signature_is_rejected(raw, message):
    with pytest.raises(ModLoadError, match=message):
        upload(raw)
