"""Measures what a forward pass costs on this machine, once, when a model is loaded."""

import time

import mlx.core as mx

from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.head import ScoringHead
from concordance_inference.engine.plan import Pass, PassCost, Read

#: A pass over one token and one over so many tell both parts of the cost.
_TOKENS = 64

#: The quickest of so many counts: others are delayed by whatever else the machine does.
_TRIES = 3


def measured_cost(head: ScoringHead, cache: BatchCache) -> PassCost:
    """What a pass costs, in seconds: for being run at all, and for each token.

    Args:
        head: The model.
        cache: Caches for it, without rows; left without rows.
    """
    cache.rebuild((), 1)
    mx.eval(_read(head, cache, 0, _TOKENS))
    short, long = (min(_seconds(head, cache, n) for _ in range(_TRIES)) for n in (1, _TOKENS))
    cache.rebuild((), 0)
    per_token = max((long - short) / (_TOKENS - 1), 1e-7)
    return PassCost(fixed=max(short - per_token, per_token), per_token=per_token)


def _seconds(head: ScoringHead, cache: BatchCache, num_tokens: int) -> float:
    """How long a row of `_TOKENS` tokens takes to read some more."""
    cache.rewind(0, _TOKENS)
    start = time.perf_counter()
    mx.eval(_read(head, cache, _TOKENS, num_tokens))
    return time.perf_counter() - start


def _read(head: ScoringHead, cache: BatchCache, start: int, num_tokens: int) -> mx.array:
    cache.begin(Pass(0, (start,), (Read(0, start, num_tokens, None),)))
    scores = head(mx.ones((1, num_tokens), mx.int32), cache.layers, [(0, num_tokens - 1)])
    cache.end()
    return scores
