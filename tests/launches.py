"""Counts the kernels that a decoding step launches on a GPU, from its graph, without a GPU.

Each node of a graph is a kernel on a GPU, except views. mlx's fast operations (attention, rotary
embedding, RMS norm) are one kernel each on a GPU and a graph of their own on a CPU; here they are
replaced by one node of the same shape and inputs.
"""

import re
from collections import Counter
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import mlx.core as mx
from concordance_inference.engine.model import device
from mlx_lm.generate import BatchGenerator, generate_step

#: Nodes that launch nothing: views of the same memory.
VIEWS = frozenset(
    {
        "AsStrided",
        "Broadcast",
        "BroadcastAxes",
        "Depends",
        "ExpandDims",
        "Flatten",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "StopGradient",
        "Transpose",
        "Unflatten",
        "View",
    }
)


class _Captured(Exception):  # noqa: N818  # no error
    """The graph of a step was captured; the step is not run."""

    def __init__(self, arrays):
        super().__init__()
        self.arrays = arrays


def _one_kernel(values, *others):
    arrays = [x for x in others if isinstance(x, mx.array)]
    return mx.depends([mx.arctan(values)], arrays)[0]


def _attention(q, k, v, *, scale, mask=None, sinks=None, **_):
    return _one_kernel(q, k, v, mask, sinks)[..., : v.shape[-1]]


def _rope(x, dims, *, offset, freqs=None, **_):
    return _one_kernel(x, offset, freqs)


def _norm(x, weight, *_):
    return _one_kernel(x, weight)


def _leaves(values):
    if isinstance(values, mx.array):
        return [values]
    nested = values.values() if isinstance(values, dict) else values
    return [leaf for value in nested for leaf in _leaves(value)]


@contextmanager
def as_on_a_gpu():
    """Replace fast operations by one node each, and fuse element-wise chains."""
    with ExitStack() as stack:
        for name, stand_in in (
            ("scaled_dot_product_attention", _attention),
            ("rope", _rope),
            ("rms_norm", _norm),
        ):
            stack.enter_context(patch.object(mx.fast, name, stand_in))
        stack.enter_context(patch.object(device, "runs_on_gpu", lambda: True))
        yield


def _capture(step):
    """Return the arrays of the first launch of a step, without computing them."""

    def capture(*arrays):
        raise _Captured(_leaves(arrays))

    with patch.object(mx, "async_eval", capture), patch.object(mx, "eval", capture), as_on_a_gpu():
        try:
            step()
        except _Captured as captured:
            return captured.arrays
    raise AssertionError("the step launched nothing")


def nodes(arrays, folder):
    """Count the nodes of each kind in the graph of arrays."""
    file = folder / "graph.dot"
    mx.export_to_dot(str(file), *arrays)
    return Counter(re.findall(r'label ="([^"]+)", shape=rectangle', file.read_text()))


def launches(arrays, folder):
    """Count the kernels that the graph of arrays launches."""
    return sum(n for name, n in nodes(arrays, folder).items() if name not in VIEWS)


def of_engine(engine, steps):
    """Return the graph of an engine's step after `steps` steps that are run."""
    for _ in range(steps):
        engine.step()
    return _capture(engine.step)


def of_generate_step(model, prompt, choose=None, processors=None):
    """Return the graph of a step of mlx-lm's generator for one request."""
    steps = generate_step(
        mx.array(prompt), model, max_tokens=20, sampler=choose, logits_processors=processors
    )
    for _ in range(4):
        next(steps)
    return _capture(lambda: next(steps))


def of_batch_generator(model, prompts):
    """Return the graph of a step of mlx-lm's generator for several requests."""
    generator = BatchGenerator(model, max_tokens=30, completion_batch_size=8, prefill_batch_size=8)
    generator.insert(prompts)
    for _ in range(6):
        generator.next_generated()
    return _capture(generator.next_generated)
