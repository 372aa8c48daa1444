"""Commands at every state of a request."""

from concordance_inference.control import (
    MAX_QUEUED,
    Act,
    Adjust,
    DetachMod,
    Expected,
    Outcome,
    Pause,
    RefusedCommandError,
    RequestChangedError,
    UnknownRequestError,
)
from concordance_inference.generation import Completed, Failed, SamplingParams
from concordance_sdk import Added, ForwardPass, mod
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.self_prompt import SelfPrompt
from concordance_shared import (
    AdjustedLogits,
    Backtrack,
    ForceTokens,
    InvalidRequestError,
    ModRaisedError,
)
from controlled import Sent, row_of, send, step_until
from tiny import ask, finish, make_engine, run, submit

SAMPLED = SamplingParams(temperature=1.0, seed=5)
FORCE = Act(action=ForceTokens([65, 66]))


def test_a_command_to_an_unknown_or_ended_request_is_refused():
    engine = make_engine()
    request = ask(max_tokens=2)
    run(engine, request)

    assert isinstance(send(engine, request, Pause()).outcome, UnknownRequestError)
    assert isinstance(Sent(engine, "never", Pause()).outcome, UnknownRequestError)


def test_commands_that_wait_when_a_request_ends_are_refused():
    engine = make_engine()
    request = ask(max_tokens=2)
    submit(engine, request)
    step_until(engine, request, 1)
    sent = [
        send(engine, request, Act(action=ForceTokens([65] * 9))),
        send(engine, request, Pause()),
    ]
    finish(engine)

    assert [type(each.outcome) for each in sent] in (
        [Outcome, UnknownRequestError],
        [UnknownRequestError, UnknownRequestError],
    )


def test_no_more_than_a_number_of_commands_wait():
    engine = make_engine()
    request = ask(max_tokens=400)
    submit(engine, request)
    step_until(engine, request, 2)
    sent = [send(engine, request, FORCE) for _ in range(MAX_QUEUED + 1)]
    finish(engine)

    assert [type(each.outcome) for each in sent] == [Outcome] * MAX_QUEUED + [RefusedCommandError]


def test_a_withdrawn_command_is_not_applied():
    engine = make_engine()
    request = ask(max_tokens=10)
    answers = submit(engine, request)
    step_until(engine, request, 2)
    sent = send(engine, request, FORCE)
    assert sent.ticket.withdraw()
    finish(engine)

    assert sent.replies == []
    assert answers.ids == run(engine, ask(max_tokens=10)).ids


def test_a_command_inside_a_long_forced_span_waits_for_no_token():
    @mod(on=[ForwardPass])
    def long(event, actions):
        return actions.force_tokens([70] * 60) if event.step == 2 else None

    engine = make_engine(chunk=8)
    request = ask("Hello", long, max_tokens=90)
    submit(engine, request)
    step_until(engine, request, 62)
    row = row_of(engine, request)
    assert row.state.num_cached < len(row.state.token_ids) - 1
    sent = send(engine, request, Act(action=Backtrack(40)))

    assert (sent.outcome.step, sent.outcome.completion_tokens) == (62, 22)
    finish(engine)


@mod
class Asks:
    def __init__(self):
        self.prompt = SelfPrompt(
            prompt="Sure? ", constraint=ChoicesStrat(["yes", "no"]), erase="all"
        )

    def parts(self):
        return [self.prompt]


def test_a_command_inside_a_self_prompt_leaves_a_request_that_ends():
    engine = make_engine()
    request = ask("Hello", Asks, max_tokens=30, sampling=SAMPLED)
    answers = submit(engine, request)
    step_until(engine, request, 3)
    removed = send(engine, request, DetachMod("asks"))
    backtracked = send(engine, request, Act(action=Backtrack(2)))
    finish(engine)

    assert isinstance(removed.outcome, RefusedCommandError | Outcome)
    assert isinstance(backtracked.outcome, Outcome)
    assert isinstance(answers.end, Completed | Failed)


def test_values_outside_the_vocabulary_are_the_fault_of_the_client():
    engine = make_engine()
    request = ask(max_tokens=10)
    answers = submit(engine, request)
    engine.step()
    wrong = [
        send(engine, request, Act(action=ForceTokens([9999]))),
        send(engine, request, Adjust(action=AdjustedLogits(ban=[9999]))),
    ]
    finish(engine)

    assert [type(each.outcome) for each in wrong] == [InvalidRequestError] * 2
    assert answers.ids == run(engine, ask(max_tokens=10)).ids


def test_a_mod_that_fails_after_an_action_ends_only_its_request():
    @mod(on=[Added])
    def fragile(event, actions):
        if 65 in event.added_tokens:
            raise ValueError("kaput")

    engine = make_engine()
    request, other = ask("Hello", fragile, max_tokens=20), ask(max_tokens=20)
    answers, others = submit(engine, request), submit(engine, other)
    step_until(engine, request, 3)
    sent = send(engine, request, FORCE)
    finish(engine)

    assert isinstance(answers.error, ModRaisedError)
    assert sent.outcome.state == "ended"
    assert isinstance(others.end, Completed)


def test_a_condition_refuses_a_completion_that_was_edited():
    engine = make_engine()
    request = ask(max_tokens=30)
    submit(engine, request)
    step_until(engine, request, 3)
    row = row_of(engine, request)
    expected = Expected(num_edits=row.state.num_edits, num_tokens=3)
    first = send(engine, request, Act(action=ForceTokens([65]), expected=expected))
    second = send(engine, request, Act(action=ForceTokens([65]), expected=expected))
    finish(engine)

    assert isinstance(first.outcome, Outcome)
    assert isinstance(second.outcome, RequestChangedError)
