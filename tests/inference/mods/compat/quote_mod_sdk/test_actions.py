"""The action builder of `quote_mod_sdk`."""

import pytest
from concordance_inference.mods.compat.quote_mod_sdk.action_types import AdjustedLogits
from concordance_inference.mods.compat.quote_mod_sdk.actions import modern
from concordance_inference.mods.compat.quote_mod_sdk.events import older_event
from concordance_sdk import FinishReason, ForwardPass
from concordance_sdk.testing import ScriptedLogits, play
from concordance_shared import EmittedError, FunctionCall, ModRaisedError


def test_builder_builds_force_output_emit_error_and_tool_calls(load):
    definition = load(
        """
from quote_mod_sdk import Prefilled, Sampled, mod

@mod
def ends(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        prompt = tokenizer.decode(event.context_info.tokens)
        if prompt == "tool":
            payload = {"id": f"call_{event.request_id}", "function": {"name": "search"}}
            return actions.tool_calls(payload=payload)
        if prompt == "output":
            return actions.force_output(tokens=(t for t in tokenizer.encode("done")))
        if prompt == "error":
            return actions.emit_error("no")
    return actions.noop()
"""
    )
    called = play(definition, says="", prompt="tool")

    assert called.finish_reason is FinishReason.TOOL_CALLS
    assert called.tool_calls[0].function == FunctionCall("search", "{}")
    assert play(definition, says="", prompt="output").text == "done"
    with pytest.raises(EmittedError) as caught:
        play(definition, says="", prompt="error")
    assert caught.value.message == "no"


def test_builder_rejects_an_illegal_action_immediately(load):
    definition = load(
        """
from quote_mod_sdk import InvalidActionError, Prefilled, mod

@mod
def eager(event, actions):
    if isinstance(event, Prefilled):
        try:
            return actions.force_tokens([1])
        except InvalidActionError:
            return actions.backtrack(1)
"""
    )

    with pytest.raises(ModRaisedError, match="Backtrack is not permitted at Prefilled"):
        play(definition, says="a")


def test_unread_logits_are_not_copied_from_the_device():
    logits = ScriptedLogits([1.0, 2.0])
    event = older_event(ForwardPass(request_id="r1", step=0, logits=logits))

    assert modern(AdjustedLogits(event.logits, 0.5), event).logits is None
    assert modern(AdjustedLogits([1.0, 3.0]), event).logits == [1.0, 3.0]
    event.logits.to_numpy()[0, 1] = 9.0
    assert modern(AdjustedLogits(event.logits), event).logits.tolist() == [[1.0, 9.0]]
