"""An action that a handler makes and does not return."""

import pytest
from concordance_sdk import (
    Added,
    Finished,
    Follower,
    ForwardPass,
    InvalidActionError,
    ModRaisedError,
    mod,
)
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.flow import FlowEngine, FlowQuestion, route_tool
from concordance_sdk.testing import play


def refusal(target, says="abc", **options):
    with pytest.raises(InvalidActionError) as refused:
        play(target, says=says, **options)
    return refused.value


def test_an_action_that_is_made_and_not_returned_is_refused():
    @mod
    class Greet:
        def forward_pass(self, event, actions, tokenizer):
            if event.step == 1:
                actions.force_tokens(tokenizer.encode("Hi"))

    error = refusal(Greet)

    assert (error.mod, error.event, error.step) == ("greet", "ForwardPass", 1)
    assert "made ForceTokens at ForwardPass (step 1)" in error.message
    assert "Greet.forward_pass` (" in error.message
    assert f"{__file__}:" in error.message
    assert "`return actions.force_tokens(...)`" in error.message
    assert "`return actions.noop()` to drop it" in error.message


MAKERS = {
    "report": lambda actions: actions.report(x=1),
    "adjust_prefill": lambda actions: actions.adjust_prefill([1]),
    "adjust_logits": lambda actions: actions.adjust_logits(ban=[1]),
    "force_tokens": lambda actions: actions.force_tokens([1]),
    "backtrack": lambda actions: actions.backtrack(1),
    "force_output": lambda actions: actions.force_output([]),
    "tool_calls": lambda actions: actions.tool_calls({"name": "f"}),
    "emit_error": lambda actions: actions.emit_error("no"),
}


@pytest.mark.parametrize("method", MAKERS)
def test_every_action_that_is_not_returned_is_refused_by_its_method(method):
    @mod(on=[Added])
    def forgetful(event, actions):
        MAKERS[method](actions)

    assert f"`return actions.{method}(...)`" in refusal(forgetful).message


def test_a_part_that_returns_no_action_is_refused():
    class Part(Follower):
        def added(self, event, actions, tokenizer):
            actions.backtrack(1)

    @mod
    class Whole:
        def parts(self):
            return [Part()]

    assert "Part.added` (" in refusal(Whole).message


def test_an_action_of_a_part_called_by_hand_is_returned_or_dropped():
    class Part(Follower):
        def forward_pass(self, event, actions, tokenizer):
            return actions.stop()

    def calling(answer):
        @mod(on=[ForwardPass])
        def by_hand(event, actions, tokenizer):
            part.forward_pass(event, actions, tokenizer)
            return answer(actions)

        return by_hand

    part = Part()

    assert "made ForceTokens" in refusal(calling(lambda actions: None)).message
    assert play(calling(lambda actions: actions.noop()), says="abc").text == "abc"


def test_a_tool_function_that_returns_no_action_is_refused():
    def call(actions, state, tokenizer):
        actions.tool_calls({"name": "look_up"})

    question = FlowQuestion("sure", "Sure? ", ChoicesStrat(["yes"])).then(route_tool(call))

    @mod
    class Ask:
        def parts(self):
            return [FlowEngine(entry_question=question)]

    with pytest.raises(ModRaisedError, match=r"after FlowQuestion\('sure'\) made ToolCalls"):
        play(Ask, says="y")


def test_another_action_than_the_one_made_last_is_returned():
    @mod(on=[ForwardPass])
    def chooser(event, actions):
        first = actions.stop() if event.step == 2 else actions.noop()
        actions.force_tokens(b"never")
        return first

    assert play(chooser, says="abc").text == "ab"


def test_the_action_of_one_event_does_not_count_at_the_next():
    @mod
    class Once:
        def forward_pass(self, event, actions):
            return actions.adjust_logits(ban=b"x") if event.step == 0 else None

        def finished(self, event, actions):
            assert isinstance(event, Finished)

    assert play(Once, says="abc").text == "abc"


def test_an_exception_is_reported_and_not_the_action_made_before():
    @mod(on=[Added])
    def raising(event, actions):
        actions.stop()
        raise ValueError("broken")

    with pytest.raises(Exception, match="raised ValueError at Added"):
        play(raising, says="a")


def test_a_report_that_is_not_returned_beside_another_action_is_refused():
    @mod(on=[Added])
    def forgetful(event, actions):
        actions.report(x=1)
        return actions.stop()

    message = refusal(forgetful).message

    assert "made Report" in message
    assert "returned ForceTokens without it" in message
    assert "`return [actions.report(...), actions.force_tokens(...)]`" in message


def test_a_report_that_is_missing_in_a_list_is_refused():
    @mod(on=[Added])
    def forgetful(event, actions):
        actions.report(x=1)
        return [actions.report(x=2)]

    assert "returned list without it" in refusal(forgetful).message


def test_a_report_can_be_dropped_by_noop():
    @mod(on=[Added])
    def drops(event, actions):
        actions.report(x=1)
        return actions.noop()

    assert play(drops, says="ab").reports == ()
