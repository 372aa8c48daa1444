"""Running plans on a model."""

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.plan import Pass, RowRead, StepPlan
from families import EVERY_FAMILY, build_model, model_named
from tiny import runner_of

ROWS = 8


def plan_of(num_tokens, lengths):
    """A step in which the last row prefills a chunk and all others decode."""
    decode = Pass(0, tuple(lengths[:-1]), tuple(RowRead(i, lengths[i], 1, (5,)) for i in range(7)))
    chunk = RowRead(ROWS - 1, lengths[-1], num_tokens, (5,) * num_tokens, 0)
    return StepPlan((decode, Pass(ROWS - 1, (lengths[-1],), (chunk,))))


def test_the_passes_of_a_step_write_into_the_caches_and_not_into_copies():
    runner = runner_of(build_model("llama"))
    runner.cache.rebuild((), ROWS, longest=4096)
    runner.cache.reserve(4096)
    for step in range(3):
        lengths = [20 + step] * 7 + [40 + 16 * step]
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        results = runner.forward(plan_of(16, lengths), None)
        mx.eval(results[0].logits, runner.cache.arrays())
        grown = mx.get_peak_memory() - before
    layer_bytes = runner.cache.num_bytes / len(runner.cache.arrays())

    assert grown < layer_bytes / 2


def chunk_of(start, num_tokens):
    """A step that prefills a chunk in the middle of a prompt, without logits."""
    read = RowRead(0, start, num_tokens, (5,) * num_tokens, 0)
    return StepPlan((Pass(0, (start,), (read,)),))


def test_consecutive_chunks_write_into_the_caches_and_not_into_copies():
    runner = runner_of(build_model("llama"))
    runner.cache.rebuild((), 1, longest=16384)
    runner.cache.reserve(16384)
    runner.forward(chunk_of(0, 8), None)
    runner.forward(chunk_of(8, 8), None)
    mx.eval(runner.cache.arrays())
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    for step in range(2, 8):
        runner.forward(chunk_of(8 * step, 8), None)
    mx.eval(runner.cache.arrays())
    layer_bytes = runner.cache.num_bytes / len(runner.cache.arrays())

    assert mx.get_peak_memory() - before < layer_bytes / 2


def test_at_most_one_chunk_is_running_while_the_next_is_built(monkeypatch):
    events = []
    run_async, wait = mx.async_eval, mx.eval
    monkeypatch.setattr(mx, "async_eval", lambda *a: (events.append("launch"), run_async(*a)))
    monkeypatch.setattr(mx, "eval", lambda *a: (events.append("wait"), wait(*a)))
    runner = runner_of(build_model("llama"))
    runner.cache.rebuild((), 1, longest=64)
    runner.cache.reserve(64)
    events.clear()
    for step in range(3):
        runner.forward(chunk_of(8 * step, 8), None)

    assert events == ["launch", "launch", "wait", "launch", "wait"]


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_overlapping_chunks_leave_the_same_caches(family):
    model = model_named(family)
    prompt = [7 * i % 250 for i in range(40)]
    logits = []
    for sizes in ([40], [8] * 5):
        runner = runner_of(model)
        runner.cache.rebuild((), 1, longest=64)
        start = 0
        for size in sizes:
            end = start + size
            read = RowRead(0, start, size, tuple(prompt[start:end]), int(end == len(prompt)))
            results = runner.forward(StepPlan((Pass(0, (start,), (read,)),)), None)
            start = end
        logits.append(np.array(results[0].logits))

    assert np.allclose(*logits, atol=2e-2)
