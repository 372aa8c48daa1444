"""Keys and values of sliding-window and chunked layers, which drop what no query attends to."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from msgspec import Struct

from concordance_inference.engine.caches.budget import Footprint
from concordance_inference.engine.caches.geometry import Geometry
from concordance_inference.engine.caches.group import NUM_SNAPSHOTS, CacheGroup, KeysValues
from concordance_inference.engine.caches.kv_buffers import AttentionCache, KVBuffers, rounded
from concordance_inference.engine.model.device import default_chunk
from concordance_inference.engine.plan import Pass, Sharing

#: Positions kept before the window, so that a row can backtrack this far without a snapshot.
MARGIN = 128

#: The same for a snapshot: chat templates render the last few tokens of a prompt differently once
#: an assistant message follows.
SNAPSHOT_MARGIN = 32

#: The memory of windows is budgeted for passes of at most this many tokens, or of a chunk's.
_LONGEST_READ = 512


class WindowSnapshot(Struct, frozen=True, eq=False):
    """The last keys and values before a position, of every layer of a group.

    window 4, position 9, start 5:   keys of positions  5 6 7 8
    resuming from 9 attends to 6 7 8, resuming from 8 to 5 6 7
    """

    position: int  # tokens before the position from which a row resumes
    start: int  # the position of the first key
    window: int
    layers: tuple[KeysValues, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of the keys and values."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)

    def reach(self, length: int) -> int:
        """Return the longest prefix, of at most `length` tokens, that can resume from it, or 0."""
        last = min(length, self.position)
        first = 0 if self.start == 0 else self.start + self.window - 1
        return last if last >= first else 0

    def first(self, length: int) -> "WindowSnapshot":
        """Return the snapshot without the keys and values from position `length` on.

        Sequences that share a prefix share a snapshot up to the end of that prefix, no further:

            snapshot at 9, start 5, of tokens   a b c d e f g h i
            a prompt with the first 7 of them   a b c d e f g x y   takes positions 5 6
        """
        if length >= self.position:
            return self
        num_kept = length - self.start
        layers = tuple((k[:, :, :num_kept], v[:, :, :num_kept]) for k, v in self.layers)
        return WindowSnapshot(length, self.start, self.window, layers)


class SlidingGroup(CacheGroup):
    """All layers of a model that attend to the same number of last positions.

    Positions that no query can attend to are dropped, but for a margin: each row's buffer then
    begins at a position of its own, `starts[row]`.

        window 4, margin 2, one row of 9 tokens:

        position   0 1 2 3 4 5 6 7 8 | 9 is next
        held       . . . . 4 5 6 7 8            start = 4
        margin             ^ ^
        attended               ^ ^ ^            by the query at 9, beside itself

        A row rewinds to 7 or more by passing that length. Further back it takes a snapshot that
        was kept at a pinned position, or recomputes its prefix.
    """

    needs_snapshots = True
    learns_from_model = True

    def __init__(self, window: int, *, margin: int = MARGIN, is_chunked: bool = False) -> None:
        """Make the group, without layers and rows.

        Args:
            window: Positions that a query attends to, itself among them.
            margin: Positions kept before the window.
            is_chunked: True if layers attend in chunks, which the model masks itself.
        """
        self.key = (window, is_chunked)
        self.window = window
        self.buffers = KVBuffers(Geometry(slice(0, 0), (), (), 0, window))
        self._margin = margin
        self._is_chunked = is_chunked
        self._is_narrowed = False
        self._starts: list[int] = []  # per row: the position of its first key
        self._pins: list[set[int]] = []  # per row: positions to keep reachable
        self._snapshots: list[dict[int, WindowSnapshot]] = []  # per row, by position

    def add_layer(self, cache: Any = None) -> AttentionCache:  # noqa: ARG002
        """Add a layer."""
        return self.buffers.add_layer(self.mask_window)

    def mask_window(self, window: int | None) -> int | None:
        """Return the window to mask with where the model requests one; keep the widest.

        Some models mask with a wider window than their cache keeps (plamo3: one position more).

        Args:
            window: Positions that a query attends to, as the model requests; None: as the cache.

        Raises:
            RuntimeError: It is wider than any window before, and positions were dropped already.
        """
        if window is None:
            return window
        if self._is_narrowed:
            return min(window, self.window)
        if window > self.window:
            if any(self._starts):
                raise RuntimeError(
                    f"the model masks with a window of {window} positions after others were "
                    f"dropped for a window of {self.window}"
                )
            self.window = window
        return window

    def arrays(self) -> list[mx.array]:
        """Return the buffers of all layers."""
        return self.buffers.arrays()

    def footprint(self) -> Footprint:
        """Return the bytes of a row's window and snapshots; known after the first pass."""
        position_bytes = self.buffers.position_bytes
        longest = self.window + self._margin + max(_LONGEST_READ, default_chunk())
        return Footprint(
            per_slot=position_bytes * rounded(longest),
            per_row=NUM_SNAPSHOTS * position_bytes * (self.window + SNAPSHOT_MARGIN),
            growth=rounded(1),
        )

    def prepare(self, num_rows: int, length: int) -> bool:  # noqa: ARG002
        """Resize the next layers; return True once there is room for these rows."""
        return self.buffers.prepare(num_rows, 0)

    # Rows

    def rebuild(self, keep: Sequence[int], num_new: int, longest: int = 0) -> None:  # noqa: ARG002
        """Make the batch the rows `keep`, in that order, followed by `num_new` empty rows."""
        self.buffers.move(keep)
        self._starts = [self._starts[row] for row in keep] + [0] * num_new
        self._pins = [self._pins[row] for row in keep] + [set() for _ in range(num_new)]
        self._snapshots = [self._snapshots[row] for row in keep] + [{} for _ in range(num_new)]
        self.buffers.fit(len(self._starts), None)

    def clean(self, row: int) -> None:
        """Overwrite a row with zeros."""
        self.buffers.clean(row)

    def pin(self, row: int, positions: Sequence[int]) -> None:
        """Take snapshots of these positions of a row before they are dropped."""
        self._pins[row].update(positions)

    def reach(self, row: int, length: int) -> int:
        """Return the longest prefix, of at most `length` tokens, to which a row can rewind."""
        if self._holds(row, length):
            return length
        return max([0, *(kept.reach(length) for kept in self._snapshots[row].values())])

    def rewind(self, row: int, length: int) -> None:
        """Rewind a row to a length that `reach` returned; cut its snapshots to that length."""
        if not self._holds(row, length):
            # `reach` also returns 0 for a snapshot that cannot be used at all.
            kept = (s for s in self._snapshots[row].values() if s.reach(length) == length > 0)
            snapshot = next(kept, None)
            self._starts[row] = 0 if snapshot is None else self._put_back(row, snapshot)
        usable = [s.first(length) for s in self._snapshots[row].values() if s.reach(length)]
        self._snapshots[row] = {snapshot.position: snapshot for snapshot in usable}

    def _holds(self, row: int, length: int) -> bool:
        """True if the buffer has every key that a query after `length` tokens attends to."""
        start = self._starts[row]
        return start == 0 or length - start >= self.window - 1

    # Snapshots

    def snapshot(self, row: int, position: int) -> WindowSnapshot | None:
        """Copy what a row needs to resume from a position; None if that was dropped."""
        if position in self._snapshots[row]:
            return self._snapshots[row][position]
        if not self._holds(row, position):
            return None
        margin = min(self._margin, SNAPSHOT_MARGIN)
        start = max(self._starts[row], position - (self.window - 1) - margin)
        span = slice(start - self._starts[row], position - self._starts[row])
        return WindowSnapshot(position, start, self.window, self.buffers.read(row, span))

    def _put_back(self, row: int, snapshot: WindowSnapshot) -> int:
        """Write a snapshot into a row's buffers; return the position of its first key."""
        self.buffers.write(row, 0, snapshot.layers)
        return snapshot.start

    def restore(self, row: int, length: int, part: WindowSnapshot) -> None:
        """Make an empty row resume after `length` tokens from another row's snapshot.

        The snapshot is cut at `length`, where the tokens of both rows begin to differ: it becomes
        the row's own, which later rewinds resume from and the prefix cache keeps.
        """
        snapshot = part.first(length)
        self._starts[row] = self._put_back(row, snapshot)
        self._snapshots[row][snapshot.position] = snapshot

    # The forward pass

    def begin(self, pass_: Pass) -> None:
        """Make room for a pass, by dropping old positions if need be, and lay it out."""
        rows, lengths = pass_.rows, pass_.starts
        if _end(pass_, self._starts[rows]) > self.buffers.capacity:
            self._drop_old(rows, lengths)
        starts = tuple(self._starts[rows])
        self.buffers.advance(_end(pass_, starts))
        self.buffers.geometry = Geometry(rows, lengths, starts, pass_.num_tokens, self.window)

    def _drop_old(self, rows: slice, lengths: Sequence[int]) -> None:
        """Drop positions before window and margin, after taking snapshots of pinned ones."""
        keep = self.window - 1 + self._margin
        starts = self._starts[rows]
        shifts = [max(0, n - keep - start) for n, start in zip(lengths, starts, strict=True)]
        if not any(shifts):
            return
        for row, length, shift in zip(range(rows.start, rows.stop), lengths, shifts, strict=True):
            for position in sorted(self._pins[row]) if shift else ():
                if position <= length and (kept := self.snapshot(row, position)):
                    self._snapshots[row][position] = kept
        for layer in self.buffers.layers:
            layer.shift(rows, shifts)
        self._starts[rows] = [a + b for a, b in zip(starts, shifts, strict=True)]

    # Calibration

    def allows(self, sharing: Sharing) -> bool:
        """Reject `EQUAL`: rows of equal length may hold their keys from different positions on."""
        return sharing is not Sharing.EQUAL

    def narrow(self, window: int) -> None:
        """Mask with a narrower window than the model requests; chunks are the model's own."""
        if not self._is_chunked:
            self.window, self._is_narrowed = min(window, self.window), True

    def spoil(self, row: int, length: int) -> None:
        """Write noise after the first `length` tokens of a row."""
        self.buffers.spoil(row, length - self._starts[row])


def _end(pass_: Pass, starts: Sequence[int]) -> int:
    """Positions that the longest row of a pass has in its buffer afterwards."""
    return max(n - at for n, at in zip(pass_.starts, starts, strict=True)) + pass_.num_tokens
