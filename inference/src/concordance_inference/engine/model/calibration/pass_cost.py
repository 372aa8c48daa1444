"""Measures what a forward pass costs on this machine, when a model is loaded."""

import time
from collections.abc import Sequence

import mlx.core as mx
from msgspec import Struct

from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.model.lm_head import SelectiveHead
from concordance_inference.engine.plan import Pass, PassCost, RowRead

#: Tokens in the long calibration passes.
_TOKENS = 64

#: Start position of the pass that measures the cost of attention.
_LENGTH = 768

#: Rounds of passes: at least, at most; and no round starts after this many seconds.
_MIN_ROUNDS, _MAX_ROUNDS, _BUDGET_S = 3, 12, 2.0

#: A length's timings are steady if its second fastest pass takes at most this many times the
#: fastest.
_STEADY = 1.1


class MeasuredCost(Struct, frozen=True):
    """The cost of passes, in seconds."""

    cost: PassCost
    is_steady: bool  # False: the machine was busy, so the cost may be too high


def measured_cost(head: SelectiveHead, cache: BatchCache) -> MeasuredCost:
    """Measure the fixed cost of a pass, and its cost per token and per attended position.

    Each length counts by its fastest pass, since other processes only ever slow a pass down.
    Rounds repeat until the timings agree, so that a short busy moment does not decide.

    Args:
        head: The model.
        cache: Caches for it, without rows; left without rows.
    """
    cache.rebuild((), 1)
    cache.reserve(_LENGTH + _TOKENS)
    _round(head, cache)  # the first pass of each shape compiles kernels
    end = time.perf_counter() + _BUDGET_S
    rounds = [_round(head, cache) for _ in range(_MIN_ROUNDS)]
    while not _is_steady(rounds) and len(rounds) < _MAX_ROUNDS and time.perf_counter() < end:
        rounds.append(_round(head, cache))
    cache.rebuild((), 0)
    return MeasuredCost(_cost_of(*map(min, zip(*rounds, strict=True))), _is_steady(rounds))


def _is_steady(rounds: Sequence[tuple[float, ...]]) -> bool:
    fastest = [sorted(times)[:2] for times in zip(*rounds, strict=True)]
    return all(second <= first * _STEADY for first, second in fastest)


def _cost_of(one: float, many: float, far: float) -> PassCost:
    """Solve for the parts of the cost.

    `many` and `far` differ in the attended positions only. `one` and `many` differ in
    `_TOKENS - 1` tokens, each of which attends to up to `_TOKENS` positions.
    """
    per_attended = max(far - many, 0.0) / (_TOKENS * _LENGTH)
    per_token = max((many - one) / (_TOKENS - 1) - per_attended * _TOKENS, 1e-7)
    return PassCost(
        fixed=max(one - per_token, per_token), per_token=per_token, per_attended=per_attended
    )


def _round(head: SelectiveHead, cache: BatchCache) -> tuple[float, float, float]:
    """Time a pass of one token, of `_TOKENS` tokens, and of `_TOKENS` tokens after `_LENGTH`.

    The positions before `_LENGTH` were never written; attending to them takes as long.
    """
    cache.rewind(0, 0)
    one = _timed(head, cache, 0, 1)
    cache.rewind(0, 0)
    many = _timed(head, cache, 0, _TOKENS)
    return one, many, _timed(head, cache, _LENGTH, _TOKENS)


def _timed(head: SelectiveHead, cache: BatchCache, start: int, num_tokens: int) -> float:
    begin = time.perf_counter()
    cache.begin(Pass(0, (start,), (RowRead(0, start, num_tokens, None),)))
    logits = head(mx.ones((1, num_tokens), mx.int32), cache.layers, [(0, num_tokens - 1)])
    cache.end()
    mx.eval(logits)
    return time.perf_counter() - begin
