"""What mods read of logits while requests run in a batch."""

import math
import random

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.caches import kv_buffers
from concordance_inference.generation import SamplingParams
from concordance_sdk import Added, ForwardPass, InvalidActionError, mod
from families import FAMILIES, model_named
from meddling import meddler_of
from tiny import ask, fresh_logits, make_engine, run, submit


def log_softmax(logits):
    """The oracle, in float64.  (vocab,)"""
    logits = np.asarray(logits, np.float64)
    return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())


@pytest.mark.parametrize("temperature", [0, 0.5, 2.0])
def test_entropy_and_logprobs_are_after_earlier_adjustments_and_before_the_temperature(temperature):
    seen = []

    @mod(on=[ForwardPass])
    def only_four(event, actions):
        return actions.adjust_logits(allow=[1, 2, 3, 4], token_temp=temperature)

    @mod(on=[ForwardPass])
    def reader(event, actions):
        seen.append((event.logits.entropy(), event.logits.logprobs([1, 2, 3, 4, 5])))

    sampling = SamplingParams(temperature=temperature, seed=1, top_k=1)
    run(make_engine(), ask("Hello", only_four, reader, max_tokens=1, sampling=sampling))

    logprobs = log_softmax(np.array(fresh_logits(model_named("llama"), b"Hello"))[1:5])
    ((entropy, read),) = seen
    assert entropy == pytest.approx(-(np.exp(logprobs) * logprobs).sum(), abs=1e-3)
    assert read == pytest.approx([*logprobs, -math.inf], abs=1e-3)


def test_logprobs_include_the_requests_bias_and_penalties():
    seen = []

    @mod(on=[ForwardPass])
    def reader(event, actions):
        seen.append(event.logits.logprob(7))

    plain = ask("Hello", reader, max_tokens=1)
    biased = ask("Hello", reader, max_tokens=1, sampling=SamplingParams(logit_bias={7: 100.0}))
    run(make_engine(), plain)
    run(make_engine(), biased)

    assert seen[0] < -0.1
    assert seen[1] == pytest.approx(0, abs=1e-5)


def test_a_watermark_on_the_device_copies_no_row_to_the_host(monkeypatch):
    green = mx.arange(257) % 2 == 0

    @mod(on=[ForwardPass])
    def watermark(event, actions):
        return actions.adjust_logits(bias=mx.where(green, 50.0, 0.0))

    monkeypatch.setattr("concordance_inference.engine.sampling.adjustments.np", None)
    answers = run(make_engine(), *[ask("Hello", watermark, max_tokens=9) for _ in range(3)])

    assert all(token_id % 2 == 0 for answer in answers for token_id in answer.ids)


def test_an_mlx_bias_with_nan_ends_its_own_request_only():
    @mod(on=[ForwardPass])
    def broken(event, actions):
        return actions.adjust_logits(bias=mx.full((257,), mx.nan))

    failed, other = run(make_engine(), ask("Hello", broken), ask("Hello", max_tokens=5))

    assert isinstance(failed.error, InvalidActionError)
    assert "'broken'" in failed.error.message
    assert len(other.ids) == 5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("adjusts", [False, True])
def test_kept_logits_are_read_later_as_they_were(family, adjusts, monkeypatch):
    """In a batch whose rows force, backtrack, retire and join, with cache buffers that grow."""
    monkeypatch.setattr(kv_buffers, "GROWTH", 16)
    engine, dice = make_engine(model_named(family), max_rows=3), random.Random(7)
    kept, num_read = [], 0

    def keeper(number):
        @mod(name="keeper", on=[ForwardPass, Added], max_backtrack=0)
        def keeps(event, actions):
            nonlocal num_read
            if isinstance(event, ForwardPass):
                (row,) = [r for r in engine.rows if r.request.request_id == event.request_id]
                kept.append((tuple(row.state.token_ids), event.logits))
                if adjusts:
                    return actions.adjust_logits(ban=[number], bias=mx.full((257,), 1.0))
            elif len(kept) > 20:
                read(*kept[-20])
                num_read += 1

        return keeps

    def read(prefix, logits):
        expected = log_softmax(np.array(fresh_logits(model_named(family), prefix)))
        top, logit = logits.top_k(1)[0]
        assert logits.logprobs(range(257)) == pytest.approx(expected.tolist(), abs=2e-2)
        assert logits[top] == logit == logits.to_numpy().max()

    waiting = [
        ask(
            b"Prompt %d" % i,
            keeper(i),
            meddler_of(random.Random(i), lambda n: [dice.randrange(256) for _ in range(n)]),
            max_tokens=dice.choice([5, 15, 30]),
        )
        for i in range(6)
    ]
    while waiting or engine.has_work:
        if waiting and dice.random() < 0.3:
            submit(engine, waiting.pop())
        engine.step()

    assert num_read > 20
    for prefix, logits in kept[:: max(1, len(kept) // 40)]:
        read(prefix, logits)
