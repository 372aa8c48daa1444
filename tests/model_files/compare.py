"""Compares the engine's logits with those of mlx-lm's model, for one model file.

The reference is one forward pass of the model over the whole token list with empty caches. Nearly
all models compute the same logits without caches.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import mlx.core as mx
import msgspec
import numpy as np
from concordance_inference.engine.caches import kv_buffers
from concordance_inference.engine.engine import Engine
from concordance_inference.generation import Failed
from concordance_sdk import ForwardPass, mod
from concordance_shared import ModBudgetError
from families import NEAR_TIE, closest_choice
from meddling import meddler_of
from mlx import nn
from mlx.utils import tree_map
from mlx_lm.models.cache import CacheList, make_prompt_cache
from tiny import ask, finish, make_engine, submit

from model_files.configs import VOCAB, fields_of, module_of

#: Maximum difference of a logit that counts as rounding, in standard deviations of the row.
TOLERANCE = 5e-3

#: Prompt lengths before, in, at the edge of and after a window of 8 with a margin of 6.
LENGTHS = (1, 2, 7, 9, 15, 33)

#: Option -> type of activations; 4bit and 8bit are quantized.
WEIGHTS = {
    "float32": mx.float32,
    "bf16": mx.bfloat16,
    "fp16": mx.float16,
    "4bit": mx.bfloat16,
    "8bit": mx.bfloat16,
}

Logits = np.ndarray  # (vocab,) float32


class Difference(msgspec.Struct, frozen=True):
    """The largest difference from the reference in one way of running a model."""

    way: str
    size: float  # in standard deviations of the reference's logits; inf: wrong or not a number
    num_tokens: int = 0  # the number of tokens before the logits

    @property
    def is_rounding(self) -> bool:
        """True if another order of additions explains it."""
        return self.size <= TOLERANCE


def build(name: str, weights: str = "float32", seed: int = 1) -> Any:
    """Build a tiny random model of a model file, with weights of one of `WEIGHTS`."""
    module = module_of(name)
    mx.random.seed(seed)
    args = module.ModelArgs.from_dict(fields_of(module.ModelArgs, name))
    model = module.Model(args)
    model.update(tree_map(_larger, model.parameters()))
    model.set_dtype(WEIGHTS[weights])
    if weights.endswith("bit"):
        nn.quantize(model, 32, int(weights[0]), class_predicate=_is_quantizable)
    mx.eval(model.parameters())
    return model


def _is_quantizable(_: str, layer: Any) -> bool:
    return hasattr(layer, "to_quantized") and layer.weight.shape[-1] % 32 == 0


def _larger(weights: mx.array) -> mx.array:
    """Enlarge weights, so that the logits depend on every token of the context."""
    if weights.ndim < 2 or not mx.issubdtype(weights.dtype, mx.floating):
        return weights
    if not mx.any(weights).item():
        return 0.3 * mx.random.normal(weights.shape)
    return 3 * weights


class Reference:
    """The reference logits of a model.

    If the model is causal, which is tested first, one forward pass over a token list gives the
    logits of all of its prefixes.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._known: dict[tuple[int, ...], Logits] = {}
        self.is_causal = False
        self.is_causal = self._is_causal()

    def _is_causal(self) -> bool:
        token_ids = _random_ids(random.Random(4), 40)
        whole = self._whole(token_ids)
        return all(
            spread_between(whole[n - 1], self._fresh(token_ids[:n])) < TOLERANCE / 5
            for n in range(1, 41)
        )

    def depends_on_context(self) -> bool:
        """True if the logits depend on earlier tokens; otherwise a comparison shows nothing."""
        token_ids = _random_ids(random.Random(4), 40)
        others = (
            [*token_ids[:at], token_ids[at] ^ 1, *token_ids[at + 1 :]] for at in range(33, 39)
        )
        sizes = [spread_between(self._fresh(other), self._fresh(token_ids)) for other in others]
        return sorted(sizes)[2] > 2 * TOLERANCE

    def _fresh(self, token_ids: Sequence[int]) -> Logits:
        return self._whole(token_ids)[-1]

    def _whole(self, token_ids: Sequence[int]) -> Logits:
        cache = make_prompt_cache(self._model)
        logits = self._model(mx.array([list(token_ids)]), cache=cache)
        return np.array(logits[0].astype(mx.float32))

    def logits(self, token_ids: Sequence[int]) -> Logits:
        """Return the logits after a token list.  (vocab,) float32"""
        key = tuple(token_ids)
        if key not in self._known:
            self._learn(key)
        return self._known[key]

    def _learn(self, key: tuple[int, ...]) -> None:
        if self.is_causal:
            after = enumerate(self._whole(key), start=1)
            self._known.update(
                {key[:n]: logits for n, logits in after if key[:n] not in self._known}
            )
        else:
            self._known[key] = self._fresh(key)

    def difference(self, way: str, seen: "Sequence[tuple[Sequence[int], Logits]]") -> Difference:
        """Return the largest difference among pairs of a token list and the logits after it."""
        worst = Difference(way, 0.0)
        for token_ids, logits in sorted(seen, key=lambda one: -len(one[0])):
            size = spread_between(logits, self.logits(token_ids))
            if size > worst.size and not self._is_near_tie(size, token_ids):
                worst = Difference(way, size, len(token_ids))
        return worst

    def _is_near_tie(self, size: float, token_ids: Sequence[int]) -> bool:
        """True if a difference can come from a near tie in the choice of an expert or a block."""
        return size > TOLERANCE and closest_choice(self._model, token_ids) < NEAR_TIE


def spread_between(one: Logits, other: Logits) -> float:
    """Return the largest difference of two rows, in standard deviations of the second."""
    is_out = (one == -np.inf) & (other == -np.inf)  # tokens that the model itself masks
    one, other = one[~is_out], other[~is_out]
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return float("inf")
    return float(np.abs(one - other).max() / max(float(other.std()), 1e-6))


# mlx-lm alone


def kinds_of_caches(model: Any) -> tuple[str, ...]:
    """Return the distinct cache classes that mlx-lm creates for a model."""
    return tuple(dict.fromkeys(_kind(cache) for cache in make_prompt_cache(model)))


def _kind(cache: Any) -> str:
    if isinstance(cache, CacheList):
        return f"CacheList({', '.join(_kind(inner) for inner in cache.caches)})"
    return type(cache).__name__


def own_differences(model: Any, reference: Reference) -> list[Difference]:
    """Compare mlx-lm in several passes with one forward pass."""
    token_ids = _random_ids(random.Random(5), 40)
    ways = {
        "mlx-lm, one token at a time": [1] * 40,
        "mlx-lm, a prompt and then one at a time": [12] + [1] * 28,
        "mlx-lm, in chunks of 5": [5] * 8,
        "mlx-lm, in chunks of 20": [20, 20],
    }
    plain = np.array(model(mx.array([token_ids]))[0, -1].astype(mx.float32))
    return [
        reference.difference("mlx-lm, without a cache", [(token_ids, plain)]),
        *(
            reference.difference(way, list(_own_logits(model, token_ids, sizes)))
            for way, sizes in ways.items()
        ),
    ]


def _own_logits(
    model: Any, token_ids: Sequence[int], sizes: Sequence[int]
) -> Iterator[tuple[Sequence[int], Logits]]:
    cache = make_prompt_cache(model)
    end = 0
    for size in sizes:
        logits = model(mx.array([token_ids[end : end + size]]), cache=cache)
        end += size
        yield token_ids[:end], np.array(logits[0, -1].astype(mx.float32))


def batch_differences(model: Any, reference: Reference) -> list[Difference]:
    """Compare mlx-lm's batch of three rows with each row alone."""
    dice = random.Random(6)
    rows = [_random_ids(dice, 20) for _ in range(3)]
    logits = model(mx.array(rows), cache=make_prompt_cache(model))[:, -1]
    seen = list(zip(rows, np.array(logits.astype(mx.float32)), strict=True))
    return [reference.difference("mlx-lm, three rows of equal lengths", seen)]


# The engine


@contextmanager
def small_buffers() -> Iterator[None]:
    """Make buffers grow, and windows slide, within a few tokens."""
    plain, kv_buffers.GROWTH = kv_buffers.GROWTH, 16
    try:
        yield
    finally:
        kv_buffers.GROWTH = plain


def engine_differences(model: Any, reference: Reference, seed: int = 1) -> list[Difference]:
    """Compare every way of running a model in the engine with the reference."""
    ways: dict[str, Callable[[Any, random.Random], list[tuple[Sequence[int], Logits]]]] = {
        "alone": _alone,
        "batch of equal lengths": _equal,
        "batch of different lengths": _ragged,
        "prompts in chunks of 3 and 5": _chunked,
        "forced and backtracked, in a batch": _meddled,
        "prompts that share prefixes": _shared,
    }
    return [
        reference.difference(way, run(model, random.Random(f"{i} {seed}")))
        for i, (way, run) in enumerate(ways.items())
    ]


def token_difference(model: Any, reference: Reference, seed: int = 1) -> Difference:
    """Compare greedy tokens without mods, where steps overlap: distance to the top logit."""
    dice = random.Random(7 + seed)
    prompts = [_random_ids(dice, length) for length in LENGTHS]
    engine = make_engine(model, margin=6, max_rows=8)
    answers = [submit(engine, ask(prompt, max_tokens=12)) for prompt in prompts]
    finish(engine)
    worst = Difference("greedy tokens in a batch", 0.0)
    for prompt, answer in zip(prompts, answers, strict=True):
        for i, token_id in enumerate(answer.ids):
            logits = reference.logits([*prompt, *answer.ids[:i]])
            size = float((logits.max() - logits[token_id]) / logits[np.isfinite(logits)].std())
            if size > worst.size:
                worst = Difference(worst.way, size, len(prompt) + i)
    return worst


class Witness:
    """Collects the logits at every position of an engine's requests."""

    def __init__(self, engine: Engine) -> None:
        self.seen: list[tuple[Sequence[int], Logits]] = []
        self._engine = engine

        @mod(name="witness", on=[ForwardPass])
        def witness(event, actions):  # type: ignore[no-untyped-def]
            rows = engine.rows
            (row,) = [r for r in rows if r.request.request_id == event.request_id]
            self.seen.append((list(row.state.token_ids), event.logits.to_numpy()))

        self.mod = witness

    def run(self, prompts: Sequence[Sequence[int]], *mods: Any, max_tokens: int = 10) -> None:
        """Run prompts as a batch to completion."""
        answers = [
            submit(self._engine, ask(prompt, self.mod, *mods, max_tokens=max_tokens))
            for prompt in prompts
        ]
        finish(self._engine)
        for answer in answers:
            if isinstance(answer.end, Failed) and not isinstance(answer.error, ModBudgetError):
                raise answer.error


def meddler(dice: random.Random) -> Any:
    """Return a mod that forces and backtracks at random."""
    return meddler_of(dice, partial(_random_ids, dice))


def _alone(model: Any, dice: random.Random) -> list[tuple[Sequence[int], Logits]]:
    engine = make_engine(model, margin=6, max_rows=1)
    witness = Witness(engine)
    for length in LENGTHS:
        witness.run([_random_ids(dice, length)])
    return witness.seen


def _equal(model: Any, dice: random.Random) -> list[tuple[Sequence[int], Logits]]:
    witness = Witness(make_engine(model, margin=6, max_rows=8))
    for length in (3, 12):
        witness.run([_random_ids(dice, length) for _ in range(3)], max_tokens=14)
    return witness.seen


def _ragged(model: Any, dice: random.Random) -> list[tuple[Sequence[int], Logits]]:
    witness = Witness(make_engine(model, margin=6, max_rows=8))
    witness.run([_random_ids(dice, length) for length in LENGTHS])
    return witness.seen


def _chunked(model: Any, dice: random.Random) -> list[tuple[Sequence[int], Logits]]:
    seen: list[tuple[Sequence[int], Logits]] = []
    for chunk in (3, 5):
        witness = Witness(make_engine(model, margin=6, max_rows=4, chunk=chunk))
        witness.run([_random_ids(dice, length) for length in LENGTHS[-4:]], max_tokens=6)
        seen += witness.seen
    return seen


def _meddled(model: Any, dice: random.Random) -> list[tuple[Sequence[int], Logits]]:
    seen: list[tuple[Sequence[int], Logits]] = []
    for chunk in (4, 64):
        engine = make_engine(model, margin=6, max_rows=3, chunk=chunk)
        witness = Witness(engine)
        witness.run(
            [_random_ids(dice, length) for length in (2, 9, 33)], meddler(dice), max_tokens=16
        )
        seen += witness.seen
    return seen


def _shared(model: Any, dice: random.Random) -> list[tuple[Sequence[int], Logits]]:
    """Run prompts of equal length with a common prefix, consecutively and in a batch."""
    engine = make_engine(model, margin=6, max_rows=4)
    witness = Witness(engine)
    prefix = _random_ids(dice, 20)
    one, other = ([*prefix, *_random_ids(dice, 10)] for _ in range(2))
    for prompts in ([one], [other], [other], [[*other, *_random_ids(dice, 7)]], [one, other]):
        witness.run(prompts, max_tokens=5)
    return witness.seen


def _random_ids(dice: random.Random, num_tokens: int) -> list[int]:
    return [dice.randrange(VOCAB - 1) for _ in range(num_tokens)]
