"""Finds out which rows a model lets share a forward pass, by trying.

mlx-lm's models are written for one length, given as a number. Most also take one length for each
row, given as an array; some do arithmetic that only a number can do, or mask in their own way.

Trials read about 20 tokens. So that they get past sliding windows of thousands, the caches mask
with a window of a few positions instead: a model that takes its masks from its caches, as nearly
all do, cannot tell the difference, and one that makes its own is found out.
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

#: What a row's logits may differ by when it shares a pass, as a fraction of their spread: kernels
#: round differently with the batch's shape, the more so in 16 bits.
_TOLERANCE = 0.05

#: The window that sliding layers mask with in a trial, in positions.
_WINDOW = 8

#: Per way of sharing: how many tokens some rows hold, all past the window or none, and how many
#: they read together.
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

#: What a model raises that cannot do with what a cache gives it.
_ARITHMETIC = (ValueError, TypeError, IndexError, AttributeError)

#: What the log says of each way of sharing.
_IN_WORDS = {
    Sharing.PADDED: "rows share forward passes whatever they hold and read",
    Sharing.RAGGED: "rows that read equally many tokens share forward passes",
    Sharing.EQUAL: "only rows that hold and read equally many tokens share forward passes",
    Sharing.ALONE: "rows run one by one, so that a batch is no faster than its rows in turn",
}


class Layout(Struct, frozen=True):
    """How the rows of a batch are laid out."""

    sharing: Sharing  # which of them can share a pass
    is_opaque: bool = False  # each has mlx-lm's own caches
    why: str = ""  # why they cannot share more, in words

    def log(self, name: str) -> None:
        """Tell the log what the rows of a model can share: a warning if that is nothing."""
        level = logging.WARNING if self.sharing is Sharing.ALONE else logging.INFO
        why = f" ({self.why})" if self.why else ""
        logger.log(level, "%s: %s%s", name, _IN_WORDS[self.sharing], why)


class CacheMaker(Protocol):
    """Makes caches for a model, without rows."""

    def __call__(self, *, is_opaque: bool = False) -> BatchCache:
        """Make them; `is_opaque` for mlx-lm's own, one set for each row."""
        ...


def find_layout(head: SelectiveHead, make_cache: CacheMaker) -> Layout:
    """The layout that shares the most without changing the logits of any row.

    Args:
        head: The model.
        make_cache: Makes caches for it, which keep no more behind a window than they need.

    Raises:
        ModelLoadError: The model fails with its own caches, or a row gets other logits when another
            is read between its own passes.
        RuntimeError: A pass fails, for example because the memory does not suffice.
    """
    trials = _Trials(head, make_cache)
    try:
        layout = trials.layout()
    except _ARITHMETIC as exc:
        raise ModelLoadError(
            f"models of type {head.name} cannot be served: mlx-lm's own code fails on a few tokens "
            f"({_in_words(exc)})"
        ) from exc
    return structs.replace(layout, why=trials.why)


class _Alone(Struct, frozen=True, eq=False):
    """What a row says alone, and what is kept of it for another to go on from."""

    held: int  # tokens read before
    read: int  # tokens read in the pass that gives the logits
    logits: mx.array  # (vocab,) float32
    segment: Segment | None
    snapshot: Snapshot | None  # of windows, no more positions than a pass may look at


class _Trials:
    """The trials of one model."""

    def __init__(self, head: SelectiveHead, make_cache: CacheMaker) -> None:
        self._head = head
        self._make_cache = make_cache
        self._refusals: dict[str, list[Sharing]] = {}  # reasons, and what was rejected for each
        self._known: dict[tuple[int, int, int], _Alone] = {}

    @property
    def why(self) -> str:
        """Why layouts were rejected, in words."""
        named = {
            reason: ", ".join(sharing.name.lower() for sharing in ways)
            for reason, ways in self._refusals.items()
        }
        return "; ".join(f"{ways}: {reason}" if ways else reason for reason, ways in named.items())

    def _refuse(self, reason: str, *ways: Sharing) -> None:
        self._refusals.setdefault(reason, []).extend(ways)

    def layout(self) -> Layout:
        """The best layout that passes its trial."""
        layout = self._shared() if self._is_right_alone() else None
        if layout is None or layout.sharing is Sharing.ALONE:
            layout = layout or Layout(Sharing.ALONE, is_opaque=True)
            self._check_turns(layout)
        return layout

    def _shared(self) -> Layout:
        """The best layout with caches that are right for one row."""
        made = self._make_cache()
        for sharing in _TRIALS:
            if made.allows(sharing) and self._can_share(sharing):
                return Layout(sharing)
        return Layout(Sharing.ALONE)

    def _is_right_alone(self) -> bool:
        """Whether the batch's caches can stand in for mlx-lm's own."""
        try:
            if self._make_cache().is_opaque:
                self._refuse("its caches are of a kind of its own")
            elif not self._is_like_own():
                self._refuse("with the batch's caches it has other logits than with its own")
            elif not self._can_go_on():
                self._refuse("it looks at positions that its caches need not keep")
            else:
                return True
        except _ARITHMETIC as exc:
            self._refuse(_in_words(exc))
        return False

    def _is_like_own(self) -> bool:
        """Whether a row says with the batch's caches what it says with mlx-lm's own."""
        token_ids, held = _TOKEN_IDS[0][:12], 9
        cache = self._make_cache()
        cache.rebuild((), 1)
        self._read(cache, {0: (0, held)})
        cached = self._read(cache, {0: (held, len(token_ids) - held)})
        return _is_close(cached[0], self._head.read_afresh(token_ids))

    def _can_go_on(self) -> bool:
        """Whether a row can go on from what is kept of another, past its windows."""
        row = self._alone(0, *(each[0] for each in _TRIALS[Sharing.PADDED]))
        return _is_close(self._together([row])[0], row.logits)

    def _can_share(self, sharing: Sharing) -> bool:
        """Whether rows that share a pass say what they say alone."""
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
        self._refuse("other logits than alone", sharing)
        return False

    def _check_turns(self, layout: Layout) -> None:
        """Check that what a row says does not depend on who is read between its passes."""
        cache = self._make_cache(is_opaque=layout.is_opaque)
        cache.rebuild((), 2)
        self._read(cache, {0: (0, 20)})
        alone = self._read(cache, {0: (20, 2)})[0]
        if mx.isnan(alone).any().item():
            self._refuse("its logits are not numbers")
            return
        cache.rebuild((), 2)
        for row in range(2):
            self._read(cache, {row: (0, 17 + 3 * (1 - row))})
        if not _is_close(self._read(cache, {0: (20, 2)})[0], alone):
            raise ModelLoadError(
                f"models of type {self._head.name} cannot be served: what one request gets depends "
                "on the others, since the model keeps something outside of its caches"
            )

    # Passes, masked with narrow windows

    def _alone(self, row: int, held: int, read: int) -> _Alone:
        """What a row says that has dropped nothing and shares nothing, and what is kept of it."""
        if (row, held, read) not in self._known:
            cache = self._narrow_cache(row + 1)
            segment, snapshot = None, None
            if held:
                self._read(cache, {row: (0, held)})
                segment = cache.segment(row, 0, held)
                snapshot = cache.snapshots(row, held).get(held) if cache.needs_snapshots else None
            logits = self._read(cache, {row: (held, read)})[0]
            self._known[row, held, read] = _Alone(held, read, logits, segment, snapshot)
        return self._known[row, held, read]

    def _together(self, rows: Sequence[_Alone]) -> mx.array:
        """What rows say that go on in one pass from what was kept of them.  (rows, vocab)"""
        cache = self._narrow_cache(len(rows))
        for i, row in enumerate(rows):
            if row.segment is not None:
                cache.restore(i, row.held, [(0, row.segment)], row.snapshot)
        cache.reserve(max(row.held + row.read for row in rows))
        for group in cache.groups:
            for i, row in enumerate(rows):
                group.spoil(i, row.held)
        logits = self._read(cache, {i: (row.held, row.read) for i, row in enumerate(rows)})
        mx.eval(logits)
        return logits

    def _narrow_cache(self, num_rows: int) -> BatchCache:
        cache = self._make_cache()
        for group in cache.groups:
            group.narrow(_WINDOW)
        cache.rebuild((), num_rows)
        return cache

    def _read(self, cache: BatchCache, spans: dict[int, tuple[int, int]]) -> mx.array:
        """One pass in which each row reads some of its tokens: from where, and how many."""
        reads = [RowRead(row, start, count, None) for row, (start, count) in spans.items()]
        pass_ = Pass(reads[0].row, tuple(start for start, _ in spans.values()), tuple(reads))
        width = pass_.num_tokens
        rows = [list(_TOKEN_IDS[r.row][r.start : r.start + r.num_tokens]) for r in reads]
        tokens = mx.array([row + [0] * (width - len(row)) for row in rows], mx.int32)
        wanted = [(i, read.num_tokens - 1) for i, read in enumerate(reads)]
        cache.begin(pass_)
        logits = self._head(tokens, cache.layers, wanted)
        cache.end()
        return logits


def _in_words(exc: Exception) -> str:
    first_line = str(exc).partition("\n")[0].rstrip(".:")
    return f"{type(exc).__name__}: {first_line}"


def _is_close(one: mx.array, other: mx.array) -> bool:
    """Whether logits differ by rounding. Tokens that a model rules out (-inf) must be the same."""
    is_out = other == -mx.inf
    one, other = (mx.where(is_out & (row == -mx.inf), 0, row) for row in (one, other))
    spread = mx.abs(other - other.mean()).mean()
    return bool((mx.abs(one - other).mean() <= _TOLERANCE * spread).item())
