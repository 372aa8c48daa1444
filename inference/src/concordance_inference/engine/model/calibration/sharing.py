"""Determines by trials which rows of a model can share a forward pass.

mlx-lm's models are written for one cache length, a number. Most also work with an array of one
length for each row; some do arithmetic that requires a number, or build masks of their own.

A trial compares the logits of rows that share a pass with those of each row alone:

    PADDED      row 0    20 tokens cached, 3 processed
                row 1    17 tokens cached, 1 processed, 2 of padding      logits of each row
                row 2     0 tokens cached, 2 processed, 1 of padding      as in a pass alone?

Trials process about 20 tokens, but sliding windows have thousands of positions. So the caches mask
with a window of 8 positions in trials: a model that takes its masks from its caches, as nearly all
do, works the same with it, and one that builds its own masks gets other logits and is detected.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

import mlx.core as mx
from concordance_shared import ModelLoadError
from msgspec import Struct, structs

from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.caches.segments import Segment, Snapshot
from concordance_inference.engine.model.lm_head import SelectiveHead
from concordance_inference.engine.plan import Pass, RowRead, Sharing

logger = logging.getLogger(__name__)

#: Tolerance of a row's logits when it shares a pass, as a fraction of their mean deviation: kernels
#: round differently for another shape of the batch, most of all in 16 bits.
_TOLERANCE = 0.05

#: Sliding window in a trial, in positions.
_WINDOW = 8

#: For each `Sharing`: the cache lengths of some rows, beyond the window or zero, and the tokens
#: that each processes in the shared pass.
_TRIALS: dict[Sharing, tuple[tuple[int, ...], tuple[int, ...]]] = {
    Sharing.PADDED: ((20, 17, 0), (3, 1, 2)),
    Sharing.RAGGED: ((20, 17), (2, 2)),
    Sharing.EQUAL: ((17, 17), (2, 2)),
}

_TOKEN_IDS = (
    (5, 3, 8, 2, 9, 1, 7, 4, 6, 3, 8, 5, 2, 7, 9, 4, 1, 6, 2, 8, 3, 9, 5),
    (2, 7, 1, 8, 4, 9, 3, 6, 5, 1, 8, 4, 9, 2, 6, 3, 7, 5, 1),
    (6, 4),
)

#: Errors of models that cannot work with what a cache returns.
_ARITHMETIC = (ValueError, TypeError, IndexError, AttributeError)

#: Log messages.
_IN_WORDS = {
    Sharing.PADDED: "all rows share forward passes",
    Sharing.RAGGED: "rows that process equal numbers of tokens share forward passes",
    Sharing.EQUAL: "only rows with equal cache lengths that process equal numbers of tokens "
    "share forward passes",
    Sharing.ALONE: "each row runs alone, so that a batch is no faster than its rows one after "
    "another",
}


class Layout(Struct, frozen=True):
    """How the rows of a batch share passes and caches."""

    sharing: Sharing  # which rows can share a pass
    is_opaque: bool = False  # each row has mlx-lm's own caches
    why: str = ""  # why they cannot share more, in words

    def log(self, name: str) -> None:
        """Log which rows of a model share passes; a warning if none do."""
        level = logging.WARNING if self.sharing is Sharing.ALONE else logging.INFO
        why = f" ({self.why})" if self.why else ""
        logger.log(level, "%s: %s%s", name, _IN_WORDS[self.sharing], why)


class CacheMaker(Protocol):
    """Builds caches for a model, without rows."""

    def __call__(self, *, is_opaque: bool = False) -> BatchCache:
        """Build them; `is_opaque` for mlx-lm's own, one set for each row."""
        ...


def find_layout(head: SelectiveHead, make_cache: CacheMaker) -> Layout:
    """Find the layout that shares the most without a change of any row's logits.

    Args:
        head: The model.
        make_cache: Builds caches without a margin beyond sliding windows.

    Raises:
        ModelLoadError: The model fails with its own caches, or the logits of a row depend on passes
            over other rows.
        RuntimeError: A pass fails, for example since memory is short.
    """
    trials = _Trials(head, make_cache)
    try:
        layout = trials.layout()
    except _ARITHMETIC as exc:
        raise ModelLoadError(
            f"models of type {head.name} cannot be served: mlx-lm's own code fails on 20 tokens "
            f"({_in_words(exc)})"
        ) from exc
    return structs.replace(layout, why=trials.why)


class _Alone(Struct, frozen=True, eq=False):
    """The logits of a row in passes of its own, and its caches before the last of them."""

    num_cached: int  # tokens processed before the last pass
    num_tokens: int  # tokens of the last pass
    logits: mx.array  # (vocab,) float32
    segment: Segment | None
    snapshot: Snapshot | None  # of windows: only the positions that a pass may attend to


class _Trials:
    """The trials of one model."""

    def __init__(self, head: SelectiveHead, make_cache: CacheMaker) -> None:
        self._head = head
        self._make_cache = make_cache
        self._refusals: dict[str, list[Sharing]] = {}  # reasons, and what was rejected for each
        self._known: dict[tuple[int, int, int], _Alone] = {}

    @property
    def why(self) -> str:
        """The reasons why layouts were rejected."""
        named = {
            reason: ", ".join(sharing.name.lower() for sharing in ways)
            for reason, ways in self._refusals.items()
        }
        return "; ".join(f"{ways}: {reason}" if ways else reason for reason, ways in named.items())

    def _refuse(self, reason: str, *ways: Sharing) -> None:
        self._refusals.setdefault(reason, []).extend(ways)

    def layout(self) -> Layout:
        """Find the best layout that passes its trial."""
        layout = self._shared() if self._is_right_alone() else None
        if layout is None or layout.sharing is Sharing.ALONE:
            layout = layout or Layout(Sharing.ALONE, is_opaque=True)
            self._check_independence(layout)
        return layout

    def _shared(self) -> Layout:
        """Find the best layout, with the batch's caches known to be right for one row."""
        made = self._make_cache()
        for sharing in _TRIALS:
            if made.allows(sharing) and self._can_share(sharing):
                return Layout(sharing)
        return Layout(Sharing.ALONE)

    def _is_right_alone(self) -> bool:
        """True if the batch's caches can replace mlx-lm's own."""
        try:
            if self._make_cache().is_opaque:
                self._refuse("its caches are of an unknown kind")
            elif not self._is_like_own():
                self._refuse("its logits with the batch's caches differ from those with its own")
            elif not self._can_resume():
                self._refuse("it attends to positions that its caches need not keep")
            else:
                return True
        except _ARITHMETIC as exc:
            self._refuse(_in_words(exc))
        return False

    def _is_like_own(self) -> bool:
        """True if a row's logits are the same with the batch's caches and with mlx-lm's own."""
        token_ids, num_cached = _TOKEN_IDS[0][:12], 9
        cache = self._make_cache()
        cache.rebuild((), 1)
        self._read(cache, {0: (0, num_cached)})
        cached = self._read(cache, {0: (num_cached, len(token_ids) - num_cached)})
        return _is_close(cached[0], self._head.reference_logits(token_ids))

    def _can_resume(self) -> bool:
        """True if a row can resume from a segment and a snapshot, beyond its windows."""
        row = self._alone(0, *(each[0] for each in _TRIALS[Sharing.PADDED]))
        return _is_close(self._together([row])[0], row.logits)

    def _can_share(self, sharing: Sharing) -> bool:
        """True if the logits of rows that share a pass are those of each row alone."""
        rows = [
            self._alone(row, *each) for row, each in enumerate(zip(*_TRIALS[sharing], strict=True))
        ]
        try:
            together = self._together(rows)
        except _ARITHMETIC as exc:
            self._refuse(_in_words(exc), sharing)
            return False
        if all(_is_close(one, row.logits) for one, row in zip(together, rows, strict=True)):
            return True
        self._refuse("logits differ from those of the row alone", sharing)
        return False

    def _check_independence(self, layout: Layout) -> None:
        """Check that a row's logits do not depend on passes over another row between its own."""
        cache = self._make_cache(is_opaque=layout.is_opaque)
        cache.rebuild((), 2)
        self._read(cache, {0: (0, 20)})
        alone = self._read(cache, {0: (20, 2)})[0]
        if mx.isnan(alone).any().item():
            self._refuse("its logits are NaN")
            return
        cache.rebuild((), 2)
        for row in range(2):
            self._read(cache, {row: (0, 17 + 3 * (1 - row))})
        if not _is_close(self._read(cache, {0: (20, 2)})[0], alone):
            raise ModelLoadError(
                f"models of type {self._head.name} cannot be served: the logits of one request "
                "depend on others, since the model keeps state outside of its caches"
            )

    # Passes with a sliding window of `_WINDOW`

    def _alone(self, row: int, num_cached: int, num_tokens: int) -> _Alone:
        """Process a row in passes of its own, and keep its caches before the last one."""
        if (row, num_cached, num_tokens) not in self._known:
            cache = self._narrow_cache(row + 1)
            segment, snapshot = None, None
            if num_cached:
                self._read(cache, {row: (0, num_cached)})
                segment = cache.segment(row, 0, num_cached)
                if cache.needs_snapshots:
                    snapshot = cache.snapshots(row, num_cached).get(num_cached)
            logits = self._read(cache, {row: (num_cached, num_tokens)})[0]
            self._known[row, num_cached, num_tokens] = _Alone(
                num_cached, num_tokens, logits, segment, snapshot
            )
        return self._known[row, num_cached, num_tokens]

    def _together(self, rows: Sequence[_Alone]) -> mx.array:
        """Restore rows from what was kept of each, and process them in one pass.  (rows, vocab)

        Positions after each row's length are filled with noise: in new buffers they are zero, and
        a model that attends to them would hardly show it.
        """
        cache = self._narrow_cache(len(rows))
        for i, row in enumerate(rows):
            if row.segment is not None:
                cache.restore(i, row.num_cached, [(0, row.segment)], row.snapshot)
        cache.reserve(max(row.num_cached + row.num_tokens for row in rows))
        for group in cache.groups:
            for i, row in enumerate(rows):
                group.spoil(i, row.num_cached)
        logits = self._read(
            cache, {i: (row.num_cached, row.num_tokens) for i, row in enumerate(rows)}
        )
        mx.eval(logits)
        return logits

    def _narrow_cache(self, num_rows: int) -> BatchCache:
        cache = self._make_cache()
        for group in cache.groups:
            group.narrow(_WINDOW)
        cache.rebuild((), num_rows)
        return cache

    def _read(self, cache: BatchCache, spans: dict[int, tuple[int, int]]) -> mx.array:
        """Run one pass over spans of the rows' tokens: {row: (start, number)}.  (rows, vocab)"""
        reads = [RowRead(row, start, count, None) for row, (start, count) in spans.items()]
        pass_ = Pass(reads[0].row, tuple(start for start, _ in spans.values()), tuple(reads))
        width = pass_.num_tokens
        rows = [list(_TOKEN_IDS[r.row][r.start : r.start + r.num_tokens]) for r in reads]
        tokens = mx.array([row + [0] * (width - len(row)) for row in rows], mx.int32)
        positions = [(i, read.num_tokens - 1) for i, read in enumerate(reads)]
        cache.begin(pass_)
        logits = self._head(tokens, cache.layers, positions)
        cache.end()
        return logits


def _in_words(exc: Exception) -> str:
    first_line = str(exc).partition("\n")[0].rstrip(".:")
    return f"{type(exc).__name__}: {first_line}"


def _is_close(one: mx.array, other: mx.array) -> bool:
    """True if logits differ by rounding only; logits that a model sets to -inf must agree."""
    is_masked = other == -mx.inf
    one, other = (mx.where(is_masked & (row == -mx.inf), 0, row) for row in (one, other))
    spread = mx.abs(other - other.mean()).mean()
    return bool((mx.abs(one - other).mean() <= _TOLERANCE * spread).item())
