"""What mods read of logits while requests run in a batch."""

import math

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.generation import SamplingParams
from concordance_sdk import ForwardPass, InvalidActionError, mod
from tiny import ask, fresh_logits, make_engine, model_named, run


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
