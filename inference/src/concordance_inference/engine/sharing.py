"""Finds out which rows a model lets share a forward pass, by trying.

mlx-lm's models are written for one length, given as a number. Most also take one length for each
row, given as an array; some do arithmetic that only a number can do, or mask in their own way.
"""

from collections.abc import Callable, Sequence

import mlx.core as mx

from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.head import ScoringHead
from concordance_inference.engine.plan import Pass, Read, Sharing

#: What a row's scores may differ by when it shares a pass, as a fraction of their spread: kernels
#: round differently with the batch's shape, the more so in 16 bits.
_TOLERANCE = 0.05

#: Per way of sharing: how many tokens two rows hold, and how many they read together.
_TRIALS: dict[Sharing, tuple[tuple[int, int], tuple[int, int]]] = {
    Sharing.PADDED: ((12, 9), (3, 1)),
    Sharing.RAGGED: ((12, 9), (2, 2)),
    Sharing.EQUAL: ((9, 9), (2, 2)),
}

_TOKEN_IDS = ((5, 3, 8, 2, 9, 1, 7, 4, 6, 3, 8, 5, 2, 7, 9), (2, 7, 1, 8, 4, 9, 3, 6, 5, 1, 8, 4))


def most_shared(head: ScoringHead, make_cache: Callable[[], BatchCache]) -> Sharing:
    """The most that rows can share without changing what each of them says.

    Args:
        head: The model.
        make_cache: Makes caches for it, without rows.
    """
    cache = make_cache()
    for sharing, (held, read) in _TRIALS.items():
        if sharing is Sharing.EQUAL and cache.has_windows:
            break
        if sharing <= cache.sharing and _agrees(head, make_cache, held, read):
            return sharing
    return Sharing.ALONE


def _agrees(
    head: ScoringHead,
    make_cache: Callable[[], BatchCache],
    held: tuple[int, int],
    read: tuple[int, int],
) -> bool:
    """Whether two rows that share a pass say what they say alone."""
    try:
        together = _read_together(head, make_cache(), held, read)
    except (ValueError, TypeError, IndexError, AttributeError, RuntimeError):
        return False  # arithmetic that only one length for all can do
    alone = [_read_alone(head, make_cache(), row, held[row], read[row]) for row in range(2)]
    return all(_is_close(together[row], alone[row][0]) for row in range(2))


def _read_together(
    head: ScoringHead, cache: BatchCache, held: Sequence[int], read: Sequence[int]
) -> mx.array:
    """Two rows read alone what they hold, then share a pass.  (2, vocab)"""
    cache.rebuild((), 2)
    for row in range(2):
        _run(head, cache, {row: (0, held[row])})
    logits = _run(head, cache, {row: (held[row], read[row]) for row in range(2)})
    mx.eval(logits)
    return logits


def _read_alone(head: ScoringHead, cache: BatchCache, row: int, held: int, read: int) -> mx.array:
    """The same for one row, which has the batch to itself.  (1, vocab)"""
    cache.rebuild((), 1)
    token_ids = _TOKEN_IDS[row]
    _run(head, cache, {0: (0, held)}, [token_ids])
    return _run(head, cache, {0: (held, read)}, [token_ids])


def _run(
    head: ScoringHead,
    cache: BatchCache,
    spans: dict[int, tuple[int, int]],
    token_ids: Sequence[Sequence[int]] = _TOKEN_IDS,
) -> mx.array:
    """One pass in which each row reads `count` of its tokens from `start` on."""
    reads = [Read(row, start, count, None) for row, (start, count) in spans.items()]
    pass_ = Pass(reads[0].row, tuple(start for start, _ in spans.values()), tuple(reads))
    width = pass_.num_tokens
    rows = [list(token_ids[r.row][r.start : r.start + r.num_tokens]) for r in reads]
    tokens = mx.array([row + [0] * (width - len(row)) for row in rows], mx.int32)
    wanted = [(i, read.num_tokens - 1) for i, read in enumerate(reads)]
    cache.begin(pass_)
    logits = head(tokens, cache.layers, wanted)
    cache.end()
    return logits


def _is_close(one: mx.array, other: mx.array) -> bool:
    spread = mx.abs(other - other.mean()).mean()
    return bool((mx.abs(one - other).mean() <= _TOLERANCE * spread).item())
