"""What else happens to requests, and to those beside them, while a mod does not answer."""

import msgspec
import pytest
from concordance_inference.control import (
    Adjust,
    AttachCall,
    AttachMod,
    Moment,
    Pause,
    Resume,
    Scheduled,
)
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.parking import calls
from concordance_inference.engine.request.backoff import SpeculationBackoff
from concordance_inference.engine.request.instances import make_instances
from concordance_inference.generation import Completed, SamplingParams
from concordance_inference.resume.request import resumed_request
from concordance_inference.suspension import can_wait
from concordance_inference.traces.recorder import Kind, TraceRecorder
from concordance_sdk import Added, ForwardPass, Prefilled, Sampled, mod
from concordance_shared import (
    EVENTS,
    AdjustedLogits,
    EngineError,
    EngineStoppedError,
    Finished,
    FinishReason,
    SandboxUnavailableError,
)
from controlled import send, step_until
from late_mods import LateMod, Stuck, StuckAt, stuck_request
from tiny import TRAITS, ask, call, finish, make_engine, model_named, run, runner_of, submit

PHASES = {event.__name__: event for event in EVENTS}
PLAIN = {"max_tokens": 14, "sampling": SamplingParams(temperature=1.0, seed=3)}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Steps do not wait for late answers, so that they come in later steps."""
    monkeypatch.setattr(calls, "PATIENCE_S", 0.0)


@mod
def listener(event, actions):
    """Handles every event and does nothing."""


@mod(on=[Added])
def follows(event, actions):
    """Handles no logits."""


def stuck(event_type, answer, nth=1):
    return stuck_request(ask("Hello", listener, **PLAIN), event_type, answer, nth)


def instance_of(definition):
    (instance,) = make_instances(ask("Hello", definition, **PLAIN), TRAITS)
    return instance


def steps(engine, n=30):
    for _ in range(n):
        engine.step()


def expected_other():
    return run(make_engine(), ask("Other", **PLAIN)).ids


@pytest.mark.parametrize("phase", PHASES)
def test_an_error_of_the_engine_in_a_late_call_fails_its_request_alone(phase):
    engine, answer = make_engine(), Stuck(ValueError("kaput"))
    request, late = stuck(PHASES[phase], answer, nth=1)
    answers, other = submit(engine, request), submit(engine, ask("Other", **PLAIN))
    steps(engine)

    answer.is_there = True
    finish(engine)

    assert isinstance(answers.error, EngineError)
    assert "ValueError" in answers.error.message
    assert late.is_closed
    assert other.ids == expected_other()


def test_a_request_that_is_cancelled_while_it_ends_ends_once():
    ended, answer = [], Stuck()
    engine = Engine(runner_of(model_named("llama")), TRAITS, EngineConfig(), on_end=ended.append)
    request, _ = stuck(Finished, answer)
    answers = submit(engine, request)
    steps(engine, 40)

    engine.cancel(request.request_id)
    steps(engine, 3)
    answer.is_there = True
    finish(engine)

    (end,) = [update for update in answers.updates if isinstance(update, Completed)]
    assert end.finish_reason is FinishReason.LENGTH
    assert len(ended) == 1
    assert sum(engine.metrics().requests.values()) == 1


def test_requests_with_late_mods_keep_their_places_in_the_queue():
    engine, requests = make_engine(), []
    for _ in range(4):
        request, _ = stuck(Prefilled, Stuck())
        requests.append(request.request_id)
        submit(engine, request)

    steps(engine, 3)

    queue = engine._admission.queue.everything
    assert [waiting.request.request_id for waiting in queue] == requests


def test_a_late_error_before_the_first_token_precedes_the_response():
    @mod(on=[Sampled])
    def refuses(event, actions):
        return actions.emit_error("no")

    request, answer = ask("Hello", refuses, stream=True, **PLAIN), Stuck()
    late, _ = stuck_request(request, Sampled, answer)
    engine = make_engine()
    answers = submit(engine, late)
    steps(engine, 5)
    assert not answers.updates

    answer.is_there = True
    finish(engine)

    assert len(answers.updates) == 1
    assert answers.error.message == run(make_engine(), request).error.message


def test_a_late_mod_may_be_added_at_any_token_without_stopping_the_engine():
    class Sees(LateMod):
        def __init__(self):
            super().__init__(instance_of(listener), 0)
            self.instances, self.could_wait = (self,), set()

        def ask(self, event):
            self.could_wait.add(can_wait())

    engine, added = make_engine(), Sees()
    request = ask("Hello", **PLAIN)
    answers = submit(engine, request)
    step_until(engine, request, 3)  # the next token is on its way

    sent = send(engine, request, AttachMod(instance=added))
    finish(engine)

    assert sent.outcome.step == 4
    assert added.could_wait == {True}
    assert answers.ids == run(make_engine(), ask("Hello", **PLAIN)).ids


def test_an_added_mod_that_is_late_costs_no_second_pass_of_a_token():
    engine = make_engine()
    request = ask("Hello", **PLAIN)
    answers = submit(engine, request)
    step_until(engine, request, 3)

    send(engine, request, AttachMod(instance=LateMod(instance_of(listener), 5)))
    finish(engine)

    assert answers.ids == run(make_engine(), ask("Hello", **PLAIN)).ids
    assert engine.metrics().decode_tokens <= 14


def test_logits_are_adjusted_by_hand_beside_a_late_mod_that_handles_none():
    def run_adjusted(request):
        engine = make_engine()
        answers = submit(engine, request)
        step_until(engine, request, 3)
        send(engine, request, Pause())
        steps(engine)
        send(engine, request, Adjust(action=AdjustedLogits(bias={65: 100.0}), num_steps=1))
        resumed = send(engine, request, Resume())
        finish(engine)
        assert resumed.outcome.state == "running"
        return answers.ids

    request = ask("Hello", follows, **PLAIN)
    late = msgspec.structs.replace(request, instances=(LateMod(instance_of(follows), 1),))

    assert 65 in run_adjusted(late)
    assert run_adjusted(late) == run_adjusted(ask("Hello", follows, **PLAIN))


def test_an_engine_that_fails_ends_requests_whose_mods_cannot_be_closed():
    def broken():
        raise OSError("no such process")

    engine = make_engine()
    requests = [stuck(phase, Stuck()) for phase in (Prefilled, Added, Sampled)]
    for _, late in requests:
        late.close = broken
    answers = [submit(engine, request) for request, _ in requests]
    steps(engine)

    engine.fail_all(EngineStoppedError("the engine is stopping"))

    assert all(isinstance(each.error, EngineStoppedError) for each in answers)
    assert not engine.has_work


def test_no_request_waits_for_a_prefill_that_a_late_mod_suspends():
    engine, prompt = make_engine(chunk=16), "x" * 300
    request = ask(prompt, **PLAIN)
    submit(engine, request)
    steps(engine, 2)
    send(engine, request, AttachMod(instance=StuckAt(instance_of(listener), Prefilled, Stuck(), 1)))

    other = submit(engine, ask(prompt + "y", **PLAIN))
    steps(engine, 50)

    assert other.ids == run(make_engine(), ask(prompt + "y", **PLAIN)).ids


@pytest.mark.parametrize("phase", ["ForwardPass", "Sampled", "Added"])
def test_a_request_that_is_cancelled_while_a_mod_is_late_resumes_as_if_it_was_not_cut(phase):
    @mod
    class Replaces:
        def forward_pass(self, event, actions):
            return actions.adjust_logits(bias={66: 3.0} if event.step % 2 else {67: 3.0})

        def sampled(self, event, actions):
            return actions.force_tokens([65]) if event.step == 6 else None

        def added(self, event, actions):
            if event.step == 4 and len(event.added_tokens) == 1 and not event.forced:
                return actions.backtrack(1, [68, 69])
            return None

    fields = {"max_tokens": 14, "sampling": SamplingParams(temperature=1.0, seed=8)}
    whole = run(make_engine(), ask("Hello", Replaces, **fields)).ids
    for nth in range(1, 10):
        kept, engine = [], make_engine()
        engine._admission._on_end = kept.append
        request, _ = stuck_request(ask("Hello", Replaces, **fields), PHASES[phase], Stuck(), nth)
        cut = submit(engine, request)
        steps(engine, 40)
        engine.cancel(request.request_id)
        (ended,) = kept
        assert len(cut.ids) == len(ended.token_ids) - ended.prompt_len

        left = {"max_tokens": 14 - len(cut.ids)}
        resumed = resumed_request(
            ended, left, new_decoder=TRAITS.new_decoder, context_length=TRAITS.context_length
        )

        assert (*cut.ids, *run(make_engine(), resumed).ids) == whole, nth


def test_a_branch_begins_with_the_tokens_that_late_mods_have_seen():
    @mod(on=[Added], max_backtrack=8)
    def replaces(event, actions):
        return actions.backtrack(1, [65]) if event.step == 3 and not event.forced else None

    engine, answer, read = make_engine(), Stuck(), []
    request, _ = stuck_request(ask("Hello", replaces, **PLAIN), Added, answer, nth=4)
    answers = submit(engine, request)
    steps(engine)

    engine.control.read_completion(["other", request.request_id], engine.rows, read.append)
    steps(engine)
    assert not read
    answer.is_there = True
    engine.step()

    (parent,) = read
    assert parent.token_ids[parent.prompt_len :][3] == 65
    finish(engine)
    assert answers.ids[3] == 65


def test_a_request_that_a_late_mod_ends_at_its_prompt_needs_no_slot():
    @mod(on=[Prefilled])
    def answers_at_once(event, actions):
        return actions.force_output([65, 66])

    engine, answer = make_engine(max_rows=1), Stuck()
    request, _ = stuck_request(ask("Hello", answers_at_once, **PLAIN), Prefilled, answer)
    answers = submit(engine, request)
    engine.step()
    submit(engine, ask("Other", max_tokens=2000))
    steps(engine, 5)

    answer.is_there = True
    engine.step()

    assert answers.ids == (65, 66)
    assert engine.metrics().waiting == 0


class Unmade:
    """A mod that cannot be made."""

    def __init__(self):
        raise ValueError("kaput")

    def added(self, event, actions):
        """Unused."""


def test_a_replayed_command_whose_mod_cannot_be_made_fails_its_request_alone():
    added = AttachCall(call=call(mod(Unmade)))
    scheduled = (Scheduled(at=Moment(3, 3, 0), command=added),)
    engine = make_engine()
    answers = submit(engine, ask("Hello", scheduled=scheduled, **PLAIN))
    other = submit(engine, ask("Other", **PLAIN))

    finish(engine)

    assert "kaput" in answers.error.message
    assert other.ids == expected_other()


@pytest.mark.parametrize("seed", [1, 10])
def test_the_trace_of_late_mods_has_the_probabilities_of_tokens_that_they_force(seed):
    @mod(on=[ForwardPass])
    def forces(event, actions):
        return actions.force_tokens([70, 71]) if event.step in (2, 5) else None

    def positions(late):
        recorder = TraceRecorder()
        request = ask("Hello", forces, recorder=recorder, **PLAIN)
        if late:
            instances = (LateMod(make_instances(request, TRAITS)[0], seed),)
            request = msgspec.structs.replace(request, instances=instances)
        run(make_engine(), request)
        return [record[1:3] for record in recorder.take() if record[0] == Kind.LOGPROBS]

    assert positions(late=True) == positions(late=False)
    assert len(positions(late=False)) == 2


class Soon(Stuck):
    """An answer that arrives when it has been asked for some times."""

    def __init__(self, times):
        super().__init__()
        self._times = times

    @property
    def is_there(self):
        return self.num_waits >= self._times

    @is_there.setter
    def is_there(self, value):
        pass


@pytest.mark.parametrize("times", range(2, 6))
def test_a_token_on_its_way_is_dropped_when_a_late_mod_answers_to_a_cancellation(
    monkeypatch, times
):
    monkeypatch.setattr(SpeculationBackoff, "is_on", True)  # rows wait for mods before a pass
    engine = make_engine()
    request, _ = stuck(Finished, Soon(times))
    answers, other = submit(engine, request), submit(engine, ask("Other", **PLAIN))
    step_until(engine, request, 3)

    engine.cancel(request.request_id)
    finish(engine)

    assert answers.end.finish_reason is FinishReason.CANCELLED
    assert other.ids == expected_other()


def test_a_worker_that_cannot_be_used_fails_its_request_with_its_own_error():
    answer = Stuck(SandboxUnavailableError("the worker was not started"))
    engine = make_engine()
    request, _ = stuck(Prefilled, answer)
    answers = submit(engine, request)
    answer.is_there = True
    finish(engine)

    assert answers.error is answer.error
