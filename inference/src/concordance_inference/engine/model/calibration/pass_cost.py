"""Measures what a forward pass costs on this machine, once, when a model is loaded."""

import time

import mlx.core as mx

from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.model.lm_head import SelectiveHead
from concordance_inference.engine.plan import Pass, PassCost, RowRead

#: A pass over one token and one over so many tell what each token costs.
_TOKENS = 64

#: A pass behind so many tokens tells what looking at them costs.
_LENGTH = 768

#: The quickest of so many counts: others are delayed by whatever else the machine does.
_TRIES = 3


def measured_cost(head: SelectiveHead, cache: BatchCache) -> PassCost:
    """What a pass costs, in seconds: for being run, for each token, for what each looks at.

    Args:
        head: The model.
        cache: Caches for it, without rows; left without rows.
    """
    cache.rebuild((), 1)
    cache.reserve(_LENGTH + _TOKENS)
    _seconds(head, cache)  # what runs for the first time is compiled
    tries = [_seconds(head, cache) for _ in range(_TRIES)]
    cache.rebuild((), 0)
    one, many, far = map(min, zip(*tries, strict=True))
    per_attended = max(far - many, 0.0) / (_TOKENS * _LENGTH)
    per_token = max((many - one) / (_TOKENS - 1) - per_attended * _TOKENS, 1e-7)
    return PassCost(
        fixed=max(one - per_token, per_token), per_token=per_token, per_attended=per_attended
    )


def _seconds(head: SelectiveHead, cache: BatchCache) -> tuple[float, float, float]:
    """How long a row takes to read one token, to read many, and to read as many far behind.

    Nobody has read the tokens between: what stands in their places takes as long to look at.
    """
    cache.rewind(0, 0)
    one = _timed(head, cache, 0, 1)
    cache.rewind(0, 0)
    many = _timed(head, cache, 0, _TOKENS)
    return one, many, _timed(head, cache, _LENGTH, _TOKENS)


def _timed(head: SelectiveHead, cache: BatchCache, start: int, num_tokens: int) -> float:
    begin = time.perf_counter()
    cache.begin(Pass(0, (start,), (RowRead(0, start, num_tokens, None),)))
    scores = head(mx.ones((1, num_tokens), mx.int32), cache.layers, [(0, num_tokens - 1)])
    cache.end()
    mx.eval(scores)
    return time.perf_counter() - begin
