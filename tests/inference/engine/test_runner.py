"""Running plans on a model."""

import mlx.core as mx
from concordance_inference.engine.plan import Pass, Read, StepPlan
from families import build_model
from tiny import runner_of

ROWS = 8


def plan_of(num_tokens, lengths):
    """A step in which all rows but the last decode, and the last reads a chunk of a prompt."""
    decode = Pass(0, tuple(lengths[:-1]), tuple(Read(i, lengths[i], 1, (5,)) for i in range(7)))
    chunk = Read(ROWS - 1, lengths[-1], num_tokens, (5,) * num_tokens, 0)
    return StepPlan((decode, Pass(ROWS - 1, (lengths[-1],), (chunk,))))


def test_the_passes_of_a_step_write_into_the_same_buffers_and_not_into_copies():
    runner = runner_of(build_model("llama"))
    runner.cache.rebuild((), ROWS, longest=4096)
    runner.cache.reserve(4096)
    for step in range(3):
        lengths = [20 + step] * 7 + [40 + 16 * step]
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        scored = runner.forward(plan_of(16, lengths), None)
        mx.eval(scored[0].logits, runner.cache.arrays())
        grown = mx.get_peak_memory() - before
    layer_bytes = runner.cache.num_bytes / len(runner.cache.arrays())

    assert grown < layer_bytes / 2
