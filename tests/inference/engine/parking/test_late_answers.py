"""Requests whose mods answer late: they wait alone, and end like all others."""

import msgspec
import pytest
from concordance_inference.control import Act, Pause, Resume
from concordance_inference.engine.parking import calls
from concordance_inference.engine.request.instances import make_instances
from concordance_inference.generation import Completed, SamplingParams
from concordance_sdk import Added, mod
from concordance_shared import (
    EVENTS,
    EngineStoppedError,
    FinishReason,
    ForceTokens,
    ModTimeoutError,
)
from controlled import send
from late_mods import LateMod, Stuck, stuck_request
from tiny import TRAITS, ask, finish, make_engine, run, submit

PHASES = {event.__name__: event for event in EVENTS}
PLAIN = {"max_tokens": 14, "sampling": SamplingParams(temperature=1.0, seed=3)}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Steps do not wait for late answers, so that they come in later steps."""
    monkeypatch.setattr(calls, "PATIENCE_S", 0.0)


@mod
def listener(event, actions):
    """Handles every event and does nothing."""


def stuck(event_type, answer, nth=1, **fields):
    """A request whose mod gets stuck."""
    return stuck_request(ask("Hello", listener, **{**PLAIN, **fields}), event_type, answer, nth)


def steps(engine, n=30):
    for _ in range(n):
        engine.step()


@pytest.mark.parametrize("phase", ["Prefilled", "ForwardPass", "Sampled", "Added"])
def test_others_continue_while_a_mod_does_not_answer_and_all_results_are_the_same(phase):
    expected = run(make_engine(), ask("Hello", listener, **PLAIN)).ids
    others = [run(make_engine(), ask(f"Other {i}", **PLAIN)).ids for i in range(3)]
    engine, answer = make_engine(), Stuck()
    request, _ = stuck(PHASES[phase], answer, nth=1 if phase == "Prefilled" else 4)
    answers = submit(engine, request)
    beside = [submit(engine, ask(f"Other {i}", **PLAIN)) for i in range(3)]

    steps(engine, 60)
    assert [each.ids for each in beside] == others
    assert not any(isinstance(update, Completed) for update in answers.updates)
    assert answer.num_waits

    answer.is_there = True
    finish(engine)
    assert answers.ids == expected


def test_the_end_waits_for_the_answer_to_finished():
    engine, answer = make_engine(), Stuck()
    request, _ = stuck(PHASES["Finished"], answer)
    answers = submit(engine, request)

    steps(engine, 40)
    assert not answers.updates or not isinstance(answers.end, Completed)
    answer.is_there = True
    finish(engine)

    assert answers.end.finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("phase", PHASES)
def test_a_request_that_waits_for_an_answer_can_be_cancelled(phase):
    engine = make_engine()
    request, late = stuck(PHASES[phase], Stuck())
    answers = submit(engine, request)
    other = submit(engine, ask("Other", **PLAIN))
    steps(engine, 40)

    engine.cancel(request.request_id)
    finish(engine) if phase != "Finished" else steps(engine, 2)

    assert late.is_closed or phase == "Finished"
    assert other.ids == run(make_engine(), ask("Other", **PLAIN)).ids
    if phase not in ("Prefilled", "Finished"):
        assert answers.end.finish_reason is FinishReason.CANCELLED


@pytest.mark.parametrize("phase", PHASES)
def test_a_request_whose_mod_is_too_late_fails_alone(phase):
    engine, answer = make_engine(), Stuck(ModTimeoutError("no answer", mod="listener"))
    request, _ = stuck(PHASES[phase], answer)
    answers = submit(engine, request)
    other = submit(engine, ask("Other", **PLAIN))
    steps(engine, 30)

    answer.is_there = True
    finish(engine)

    assert answers.error is answer.error
    assert other.ids == run(make_engine(), ask("Other", **PLAIN)).ids


@pytest.mark.parametrize("phase", PHASES)
def test_an_engine_that_fails_ends_requests_that_wait_for_an_answer(phase):
    engine = make_engine()
    request, late = stuck(PHASES[phase], Stuck())
    answers = submit(engine, request)
    steps(engine, 40)

    engine.fail_all(EngineStoppedError("the engine is stopping"))

    assert not engine.has_work
    assert late.is_closed
    if phase == "Finished":  # the completion was there already
        assert answers.end.finish_reason is FinishReason.LENGTH
    else:
        assert isinstance(answers.error, EngineStoppedError)
    assert run(engine, ask("Other", **PLAIN)).ids == run(make_engine(), ask("Other", **PLAIN)).ids


@pytest.mark.parametrize("phase", ["Prefilled", "ForwardPass", "Sampled", "Added"])
def test_a_command_waits_for_the_answer_of_a_mod(phase):
    engine, answer = make_engine(), Stuck()
    request, _ = stuck(PHASES[phase], answer)
    answers = submit(engine, request)
    steps(engine, 20)

    sent = send(engine, request, Act(action=ForceTokens([65, 66])))
    assert not sent.replies
    answer.is_there = True
    finish(engine)

    assert sent.outcome.forced_tokens == 2
    assert b"AB" in bytes(token for token in answers.ids if token < 256)


def test_a_request_is_paused_and_resumed_while_its_mod_reads_the_prompt():
    engine, answer = make_engine(), Stuck()
    request, _ = stuck(PHASES["Prefilled"], answer)
    answers = submit(engine, request)
    steps(engine, 5)

    paused = send(engine, request, Pause())
    answer.is_there = True
    steps(engine, 20)
    assert paused.outcome.state == "paused"
    assert not answers.updates or not isinstance(answers.end, Completed)
    send(engine, request, Resume())
    finish(engine)

    assert answers.ids == run(make_engine(), ask("Hello", listener, **PLAIN)).ids


def test_penalties_count_the_tokens_of_a_row_once_that_waits_for_answers():
    likes = SamplingParams(temperature=0, frequency_penalty=0.5, repetition_penalty=1.3)
    engine = make_engine()
    asked = [ask(f"Hello {i}", listener, max_tokens=20, sampling=likes) for i in range(4)]
    late = [
        msgspec.structs.replace(each, instances=(LateMod(make_instances(each, TRAITS)[0], i),))
        for i, each in enumerate(asked)
    ]

    answers = run(engine, *late)

    fields = {"max_tokens": 20, "sampling": likes}
    expected = run(make_engine(), *(ask(f"Hello {i}", listener, **fields) for i in range(4)))
    assert [each.ids for each in answers] == [each.ids for each in expected]


def test_a_stream_shows_no_token_to_which_a_late_mod_has_not_answered():
    @mod(on=[Added], max_backtrack=1)
    def edits(event, actions):
        return actions.backtrack(1, [65]) if event.step % 3 == 2 and not event.forced else None

    def request(**fields):
        return ask("Hello", edits, stream=True, **PLAIN, **fields)

    late = request()
    (instance,) = make_instances(late, TRAITS)
    late = msgspec.structs.replace(late, instances=(LateMod(instance, 3),))

    answers, expected = run(make_engine(), late), run(make_engine(), request())

    assert answers.ids == expected.ids
    assert [d.text for d in answers.deltas if d.text] == [d.text for d in expected.deltas if d.text]
    assert not any(delta.retracted for delta in answers.deltas)


def test_a_late_mod_that_acts_gives_the_tokens_of_one_that_does_not_wait():
    @mod(on=[Added], max_backtrack=4)
    def edits(event, actions):
        if event.step % 5 == 3:
            return actions.backtrack(2, [65, 66, 67])
        return None

    def requests():
        made = [ask(f"Hello {i}", edits, **PLAIN) for i in range(5)]
        return [msgspec.structs.replace(each, top_logprobs=2) for each in made]

    engine = make_engine()
    late = [
        msgspec.structs.replace(each, instances=(LateMod(make_instances(each, TRAITS)[0], seed),))
        for seed, each in enumerate(requests(), 1)
    ]

    answers = run(engine, *late)
    expected = run(make_engine(), *requests())

    assert [each.ids for each in answers] == [each.ids for each in expected]
    assert [len(each.end.logprobs) for each in answers] == [len(e.end.logprobs) for e in expected]
