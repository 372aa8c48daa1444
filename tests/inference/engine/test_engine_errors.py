"""Engine: errors of mods, models and the engine itself, cancellation, and NaN."""

import math
import threading

import mlx.core as mx
import msgspec
import pytest
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.output.decoder import BytesDecoder
from concordance_inference.generation import (
    Completed,
    Failed,
    SamplingParams,
)
from concordance_sdk import Added, Finished, ForwardPass, Prefilled, Sampled, mod
from concordance_shared import (
    AdjustedLogits,
    EngineError,
    ForceTokens,
    InvalidActionError,
    ModRaisedError,
    NumericalError,
)
from families import VOCAB, build_model, model_named
from tiny import (
    TRAITS,
    ask,
    finish,
    make_engine,
    run,
    runner_of,
    submit,
    token_bytes,
)


def test_nan_logits_of_the_model_end_the_request_with_an_error():
    model = build_model("llama", seed=9)
    model.lm_head.weight = mx.full(model.lm_head.weight.shape, math.nan)

    for sampling in (SamplingParams(temperature=0), SamplingParams(seed=1)):
        answers = run(make_engine(model), ask("Hello", sampling=sampling))
        assert isinstance(answers.error, NumericalError)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nan_logits_of_a_mod_on_the_device_are_a_mod_error(temperature):
    @mod(on=[ForwardPass])
    def broken(event, actions):
        if event.step == 2:
            return actions.adjust_logits(logits=mx.full((257,), math.nan))

    request = ask("Hello", broken, sampling=SamplingParams(temperature=temperature, seed=1))
    error = run(make_engine(), request).error

    assert isinstance(error, InvalidActionError)
    assert "'broken'" in str(error)
    assert "step 2" in str(error)


def test_masks_that_leave_no_token_are_a_mod_error():
    @mod(on=[ForwardPass])
    def first(event, actions):
        return actions.adjust_logits(allow=[65])

    @mod(on=[ForwardPass])
    def second(event, actions):
        return actions.adjust_logits(ban=[65])

    assert "no token" in str(run(make_engine(), ask("Hello", first, second)).error)


def test_mod_init_that_raises_ends_its_request_only():
    @mod
    class Boom:
        def __init__(self):
            raise RuntimeError("kaput")

        def added(self, event, actions): ...

    engine = make_engine()
    bad, good = run(engine, ask("Hello", Boom), ask("Hello"))

    assert isinstance(bad.error, ModRaisedError)
    assert len(good.ids) == 12


def test_finished_is_dispatched_for_every_kind_of_end():
    seen = []

    @mod(on=[Finished])
    def last(event, actions):
        seen.append(event.finish_reason)

    @mod(on=[Sampled])
    def boom(event, actions):
        raise RuntimeError

    engine = make_engine()
    run(engine, ask("Hello", last), ask("Hello", last, boom))
    leaver = ask("Hello", last)
    submit(engine, leaver)
    engine.step()
    engine.cancel(leaver.request_id)
    finish(engine)

    assert sorted(seen) == ["cancelled", "error", "length"]


def _late(values):
    """A generator, consumed after the mod has returned."""
    yield from values
    raise ValueError("kaput")


def _made_on_another_thread():
    """A row computed on the stream of another thread."""
    rows = []
    thread = threading.Thread(target=lambda: rows.append(mx.arange(VOCAB) * 2.0))
    thread.start()
    thread.join()
    return rows[0]


INVALID = {
    "a generator that raises": (Sampled, lambda: ForceTokens(_late([1]))),
    "a row of mappings": (ForwardPass, lambda: AdjustedLogits(logits=[{}] * VOCAB)),
    "a row of huge integers": (ForwardPass, lambda: AdjustedLogits(logits=[10**400] * VOCAB)),
    "a huge bias": (ForwardPass, lambda: AdjustedLogits(bias={1: 10**400})),
    "another thread's row": (
        ForwardPass,
        lambda: AdjustedLogits(logits=_made_on_another_thread()),
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_action_ends_its_request_only(name):
    event_type, answer = INVALID[name]

    @mod(on=[event_type])
    def broken(event, actions):
        return answer()

    bad, good = run(make_engine(), ask("Hello", broken), ask("Hello"))

    assert isinstance(bad.error, InvalidActionError)
    assert (bad.error.mod, bad.error.event) == ("broken", event_type.__name__)
    assert len(good.ids) == 12


def test_mod_that_raises_at_finished_ends_the_request_with_an_error():
    @mod(on=[Finished])
    def late(event, actions):
        raise RuntimeError("kaput")

    assert "kaput" in str(run(make_engine(), ask("Hello", late)).error)


def test_waiting_request_can_be_cancelled():
    engine = make_engine(max_rows=1)
    first, waiting = ask("Hello"), ask("Hello")
    answers = submit(engine, first)
    left = submit(engine, waiting)
    engine.step()
    engine.cancel(waiting.request_id)
    finish(engine)

    assert len(answers.ids) == 12
    assert isinstance(left.end, Failed)


def test_cancelling_an_unknown_request_does_nothing():
    engine = make_engine()
    engine.cancel("unknown")

    assert not engine.has_work


@pytest.mark.parametrize("kv_tokens", [256, 4096])
def test_cancelling_a_finished_request_with_missing_logprobs_ends_it_once(kv_tokens):
    """Its completion may be longer than its admitted length, and than the memory for caches."""
    ends = []

    @mod(on=[Added, Finished])
    def whole(event, actions):
        if isinstance(event, Finished):
            ends.append(event.finish_reason)
        else:
            return actions.force_output(b"a" * 300)

    per_token = runner_of(model_named("llama")).profile.footprint.per_token
    engine = make_engine(kv_bytes=kv_tokens * per_token, chunk=4, max_rows=1, prefix_bytes=0)
    request = ask("Hello", whole, max_tokens=4, top_logprobs=0)
    answers = submit(engine, request)
    engine.step()
    while not engine.rows[0].state.is_finished:
        engine.step()
    engine.cancel(request.request_id)
    engine.step()
    engine.cancel(request.request_id)

    assert not engine.has_work
    assert len(ends) == 1
    assert sum(isinstance(u, Completed | Failed) for u in answers.updates) == 1


@pytest.mark.parametrize("event_type", [Prefilled, ForwardPass, Sampled, Added])
def test_forced_output_too_long_for_its_logprobs_is_rejected(event_type):
    @mod(on=[event_type])
    def whole(event, actions):
        return actions.force_output(b"a" * 300)

    per_token = runner_of(model_named("llama")).profile.footprint.per_token
    engine = make_engine(kv_bytes=256 * per_token, max_rows=1, prefix_bytes=0)
    bad, good = run(engine, ask("Hello", whole, top_logprobs=0), ask("Hello"))

    assert "an output of 300 tokens" in str(bad.error)
    assert len(good.ids) == 12


def test_fail_all_clears_the_prefix_cache():
    engine = make_engine()
    run(engine, ask("Hello, a prompt of some length", max_tokens=3))
    submit(engine, ask("Hello"))
    engine.step()
    assert engine.metrics().prefix_bytes > 0
    engine.fail_all(EngineError("broken"))

    assert engine.metrics().prefix_bytes == 0
    assert run(engine, ask("Hello, a prompt of some length", max_tokens=3)).end.cached_tokens == 0


def test_fail_all_ends_requests_that_were_being_admitted():
    """A failure while one is admitted must not leave the others without an end."""
    decoders = iter([BytesDecoder(token_bytes)] * 2)  # of one row: the next one fails
    traits = msgspec.structs.replace(TRAITS, new_decoder=lambda **_: next(decoders))
    engine = make_engine(traits=traits)
    answers = [submit(engine, ask("Hello")) for _ in range(3)]
    with pytest.raises(StopIteration):
        engine.step()
    engine.fail_all(EngineError("broken"))

    assert [str(a.error) for a in answers] == ["broken"] * 3


def test_engine_accepts_requests_after_fail_all():
    engine = make_engine(max_rows=1)
    broken = [submit(engine, ask("Hello")) for _ in range(3)]
    engine.step()
    engine.fail_all(EngineError("broken"))

    assert [str(a.error) for a in broken] == ["broken"] * 3
    assert len(run(engine, ask("Hello")).ids) == 12


NAN_TOKEN = 200


def _with_nan(family):
    """A model that computes NaN for one token, as after an overflow."""
    model = build_model(family)
    rows = model.model.embed_tokens.weight
    model.model.embed_tokens.weight = mx.where(
        mx.arange(rows.shape[0])[:, None] == NAN_TOKEN, mx.nan, rows
    )
    return model


def _profiled(family, **config):
    """An engine for that model, with the profile of the model without NaN."""
    runner = ModelRunner(_with_nan(family), runner_of(model_named(family)).profile)
    return Engine(runner, TRAITS, EngineConfig(**config))


@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt_oss", "deepseek_v3"])
def test_nan_in_the_kv_cache_does_not_reach_the_next_request_in_the_row(family, is_cancelled):
    engine = _profiled(family, max_rows=2, chunk=16, prefix_bytes=0)
    sampling = SamplingParams(temperature=0, logit_bias={NAN_TOKEN: -100.0})
    beside = submit(engine, ask("Hello, you", max_tokens=60, sampling=sampling))
    request = ask([NAN_TOKEN] * 30)
    broken = submit(engine, request)
    while not broken.updates:
        engine.step()
        if is_cancelled and len(engine.rows) == 2 and engine.rows[1].state.num_cached:
            engine.cancel(request.request_id)
    following = submit(engine, ask("Hi"))
    finish(engine)

    assert len(beside.ids) > 30
    assert len(following.ids) == 12


def test_nan_does_not_remain_in_the_slot_of_a_row_that_moved():
    engine = _profiled("llama", chunk=16, prefix_bytes=0, max_rows=2)
    first = submit(engine, ask("Hello", max_tokens=2))
    broken = submit(engine, ask([NAN_TOKEN] * 200))
    while len(first.updates) < 2:
        engine.step()
    others = [submit(engine, ask("Hi", max_tokens=40)), submit(engine, ask("Hello, you"))]
    finish(engine)

    assert isinstance(broken.error, NumericalError)
    assert [len(answer.ids) for answer in others] == [40, 12]
