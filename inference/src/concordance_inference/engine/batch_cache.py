"""The caches of all layers of a model, for the rows of a batch."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from concordance_shared import ModelLoadError
from mlx_lm.models.cache import KVCache, RotatingKVCache, make_prompt_cache

from concordance_inference.engine.attention_cache import (
    MARGIN,
    AttentionCache,
    AttentionGroup,
)


class BatchCache:
    """One cache per layer in the model's order, each with a row for every request in the batch.

    The lengths of the rows are the caller's: each pass is told how much of every row counts.
    """

    def __init__(self, model: Any, *, margin: int = MARGIN) -> None:
        """Make the caches that a model wants, without rows.

        Args:
            model: One of mlx-lm's.
            margin: How many tokens behind its window a sliding layer keeps.

        Raises:
            ModelLoadError: The model wants a kind of cache that cannot be batched.
        """
        windows = [_window_of(cache) for cache in make_prompt_cache(model)]
        self._groups = {
            window: AttentionGroup(windows.count(window), window=window, margin=margin)
            for window in dict.fromkeys(windows)
        }
        unused = {window: iter(group.layers) for window, group in self._groups.items()}
        self.layers: list[AttentionCache] = [next(unused[window]) for window in windows]
        self.num_rows = 0

    @property
    def num_bytes(self) -> int:
        """What the buffers take, in bytes."""
        return sum(array.nbytes for array in self.arrays())

    def arrays(self) -> list[mx.array]:
        """Every array that a forward pass writes; evaluating them runs the pass."""
        return [
            array
            for layer in self.layers
            for array in (layer.keys, layer.values)
            if array is not None
        ]

    def rewind(self, row: int, length: int) -> int:
        """Go back to the first `length` tokens of a row; return how many of them are left.

        All of them, or none where a layer has dropped what it would need.
        """
        groups = self._groups.values()
        if all(group.can_reach(row, length) for group in groups):
            return length
        for group in groups:
            group.reset(row)
        return 0

    def rebuild(self, keep: Sequence[int], num_new: int) -> None:
        """Make the rows `keep`, in that order, and `num_new` empty ones behind them the batch."""
        for group in self._groups.values():
            group.rebuild(keep, num_new)
        self.num_rows = len(keep) + num_new

    def begin(self, rows: slice, lengths: Sequence[int], num_tokens: int) -> slice:
        """Prepare a forward pass.

        Args:
            rows: The neighbouring rows that read.
            lengths: How many tokens each row of the batch holds.
            num_tokens: How many tokens each of the rows reads.

        Returns:
            The rows that the pass has to cover: all of them, if they write at different places.
        """
        groups = self._groups.values()
        if not all(group.writes_at_one_place(rows, lengths) for group in groups):
            rows = slice(0, self.num_rows)
        for group in groups:
            group.begin(rows, lengths[rows], num_tokens)
        return rows


def _window_of(cache: object) -> int | None:
    """How far back a layer looks, by the cache that mlx-lm would give it; `None` for all the way.

    Raises:
        ModelLoadError: It is no attention over all or the last positions.
    """
    if type(cache) is KVCache:
        return None
    if type(cache) is RotatingKVCache and cache.keep == 0:
        return cache.max_size
    raise ModelLoadError(
        f"this model keeps {type(cache).__name__}, which the batch cannot take tokens back from"
    )
