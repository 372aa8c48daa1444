"""Requests that are paused, and resumed by a command or at a time limit."""

import pytest
from concordance_inference.control import (
    Act,
    Pause,
    RefusedCommandError,
    Resume,
    Step,
)
from concordance_inference.generation import Completed, ControlDelta, Failed, SamplingParams
from concordance_shared import (
    Backtrack,
    EngineError,
    ForceTokens,
)
from controlled import send, step_until
from tiny import ask, finish, make_engine, run, submit

SAMPLED = SamplingParams(temperature=1.0, seed=5)
FORCE = Act(action=ForceTokens([65, 66]))


def idle(engine):
    while engine.has_work:
        engine.step()


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
