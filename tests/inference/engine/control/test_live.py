"""Commands at every state of a request, pauses, and mods that come and go."""

import pytest
from concordance_inference.control import (
    MAX_QUEUED,
    Act,
    Adjust,
    AttachMod,
    DetachMod,
    Expected,
    Outcome,
    Pause,
    RefusedCommandError,
    RequestChangedError,
    Resume,
    Step,
    UnknownRequestError,
)
from concordance_inference.engine.request.instances import instance_within
from concordance_inference.generation import Completed, ControlDelta, Failed, SamplingParams
from concordance_sdk import Added, ForwardPass, Prefilled, mod
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.self_prompt import SelfPrompt
from concordance_shared import (
    AdjustedLogits,
    Backtrack,
    EngineError,
    ForceTokens,
    InvalidRequestError,
    ModRaisedError,
)
from controlled import Sent, row_of, send, step_until
from tiny import TRAITS, ask, call, finish, make_engine, run, submit

SAMPLED = SamplingParams(temperature=1.0, seed=5)
FORCE = Act(action=ForceTokens([65, 66]))


def attached(engine, request, definition, **fields):
    context = row_of(engine, request).mods.context
    instance = instance_within(5, call(definition), context, TRAITS)
    return send(engine, request, AttachMod(instance=instance, **fields))


def idle(engine):
    while engine.has_work:
        engine.step()


# States


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


# Pauses


@pytest.mark.parametrize("after", [0, 1, 2, 7])
@pytest.mark.parametrize("fields", [{}, {"top_logprobs": 2}])
def test_a_request_is_paused_at_any_step(after, fields):
    engine = make_engine(chunk=4)
    plain = run(engine, ask("Hello there", max_tokens=12, sampling=SAMPLED, **fields))
    request = ask("Hello there", max_tokens=12, sampling=SAMPLED, **fields)
    answers = submit(engine, request)
    for _ in range(after):
        engine.step()
    paused = send(engine, request, Pause())
    idle(engine)
    assert paused.outcome.state == "paused"
    send(engine, request, FORCE)
    send(engine, request, Act(action=Backtrack(2)))
    send(engine, request, Resume())
    finish(engine)

    assert answers.ids == plain.ids
    found, expected = answers.end.logprobs, plain.end.logprobs
    assert [each.token_id for each in found] == [each.token_id for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)


def test_a_paused_request_is_cancelled():
    engine = make_engine()
    request = ask(max_tokens=50)
    answers = submit(engine, request)
    step_until(engine, request, 3)
    send(engine, request, Pause())
    idle(engine)
    engine.cancel(request.request_id)

    assert answers.end.finish_reason == "cancelled"
    assert engine.control.next_s is None


def test_a_paused_request_fails_with_the_engine():
    engine = make_engine()
    request = ask(max_tokens=50)
    answers = submit(engine, request)
    step_until(engine, request, 3)
    send(engine, request, Pause())
    idle(engine)
    stepping = send(engine, request, Step(20))
    engine.fail_all(EngineError("kaput"))

    assert isinstance(answers.error, EngineError)
    assert stepping.outcome.state == "ended"


@pytest.mark.parametrize("ends", [False, True])
def test_a_pause_ends_at_its_time_limit(ends):
    engine = make_engine(pause_limit_s=0.0, ends_paused=ends)
    request = ask(max_tokens=12, stream=True)
    answers = submit(engine, request)
    step_until(engine, request, 3)
    send(engine, request, Pause())
    idle(engine)
    assert engine.control.next_s == 0
    engine.control.expire()
    finish(engine)

    assert isinstance(answers.end, Failed if ends else Completed)
    commands = [each for u in answers.updates if isinstance(u, ControlDelta) for each in u.commands]
    assert [each["type"] for each in commands] == ["pause", "resume"]
    assert commands[1]["reason"] == "time limit"


def test_pausing_twice_and_resuming_what_runs_are_refused():
    engine = make_engine()
    request = ask(max_tokens=12)
    submit(engine, request)
    engine.step()
    sent = [send(engine, request, command) for command in (Pause(), Pause(), Resume(), Resume())]
    finish(engine)

    refused = [isinstance(each.outcome, RefusedCommandError) for each in sent]
    assert refused == [False, True, False, True]


def test_a_pause_during_steps_ends_them():
    engine = make_engine()
    request = ask(max_tokens=40)
    submit(engine, request)
    step_until(engine, request, 2)
    stepping = send(engine, request, Step(30))
    for _ in range(4):
        engine.step()
    paused = send(engine, request, Pause())
    idle(engine)

    assert 0 < len(stepping.outcome.token_ids) < 30
    assert paused.outcome.state == "paused"
    send(engine, request, Resume())
    finish(engine)


# Mods


def test_a_removed_mod_gets_finished_and_acts_no_more():
    seen = []

    @mod(name="watcher")
    def watcher(event, actions):
        seen.append(type(event).__name__)

    engine = make_engine()
    request = ask("Hello", watcher, max_tokens=20)
    submit(engine, request)
    step_until(engine, request, 3)
    send(engine, request, DetachMod("watcher"))
    finish(engine)

    assert seen.count("Finished") == 1
    assert seen[-1] == "Finished"


def test_a_mod_that_changes_the_prompt_cannot_be_added():
    @mod(on=[Prefilled])
    def rewrites(event, actions):
        return actions.adjust_prefill([65, 66])

    engine = make_engine()
    request = ask(max_tokens=12)
    answers = submit(engine, request)
    engine.step()
    engine.step()
    sent = attached(engine, request, rewrites)
    finish(engine)

    assert "prompt is processed already" in sent.outcome.message
    assert answers.ids == run(engine, ask(max_tokens=12)).ids


def test_a_mod_that_fails_while_it_catches_up_leaves_the_request_as_it_was():
    @mod(on=[Added])
    def broken(event, actions):
        raise ValueError("kaput")

    engine = make_engine()
    request = ask(max_tokens=12)
    answers = submit(engine, request)
    step_until(engine, request, 3)
    sent = attached(engine, request, broken)
    finish(engine)

    assert isinstance(sent.outcome, ModRaisedError)
    assert answers.ids == run(engine, ask(max_tokens=12)).ids


def test_a_mod_in_the_place_of_another_acts_from_the_next_position_on():
    @mod(name="bans", on=[ForwardPass])
    def bans(event, actions):
        return actions.adjust_logits(allow=[65])

    @mod(name="allows", on=[ForwardPass])
    def allows(event, actions):
        return actions.adjust_logits(allow=[66])

    engine = make_engine()
    request = ask("Hello", bans, max_tokens=12)
    answers = submit(engine, request)
    step_until(engine, request, 4)
    sent = attached(engine, request, allows, replaces="bans")
    finish(engine)
    step = sent.outcome.step

    assert answers.ids == (65,) * step + (66,) * (12 - step)
    assert [usage.mod for usage in answers.end.mods] == ["allows", "bans"]


def test_text_that_a_mod_holds_back_is_backtracked_by_hand_in_a_stream():
    @mod(on=[Added], max_backtrack=8)
    def holds(event, actions): ...

    engine = make_engine()
    request = ask("Hello", holds, max_tokens=30, stream=True)
    answers = submit(engine, request)
    step_until(engine, request, 12)
    held = send(engine, request, Act(action=Backtrack(3)))
    sent = send(engine, request, Act(action=Backtrack(9)))
    finish(engine)

    assert held.outcome.backtracked_tokens == 3
    assert isinstance(sent.outcome, RefusedCommandError)
    assert answers.shown == answers.end.text
