"""The caches of all layers of a model, for the rows of a batch."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from concordance_inference.engine.caches.budget import Footprint, combined
from concordance_inference.engine.caches.families import grouped
from concordance_inference.engine.caches.opaque import OpaqueGroup
from concordance_inference.engine.caches.segments import Segment, Snapshot, agreed_reach
from concordance_inference.engine.caches.sliding import MARGIN
from concordance_inference.engine.plan import Pass, RowRead, Sharing


class BatchCache:
    """One cache per layer in the model's order, each with a row for every request in the batch.

    Callers own the lengths of the rows: each pass says how many tokens of every row count. Layers
    of one kind form a group (see `CacheGroup`); a row rewinds only to a length that every group
    reaches.
    """

    def __init__(self, model: Any, *, margin: int = MARGIN, is_opaque: bool = False) -> None:
        """Make the caches of a model, without rows.

        Args:
            model: One of mlx-lm's.
            margin: Positions that sliding-window layers keep before their window.
            is_opaque: True to use mlx-lm's own caches, one set for each row, whatever they are.
        """
        made = grouped(partial(make_prompt_cache, model), margin, is_opaque=is_opaque)
        self.layers, self.groups = made  # the model is called with the layers
        self.is_opaque = any(isinstance(group, OpaqueGroup) for group in self.groups)
        self._pins: list[set[int]] = []  # per row
        self._segmented = [group for group in self.groups if not group.needs_snapshots]
        self._snapshotted = [group for group in self.groups if group.needs_snapshots]
        #: True if a row can resume only from positions of which a snapshot was kept.
        self.needs_snapshots = bool(self._snapshotted)
        if any(group.learns_from_model for group in self.groups):
            self._show(model)

    def _show(self, model: Any) -> None:
        """Let the layers see which windows the model requests, by a pass that never runs.

        mlx is lazy: the graph of the pass is built, which requests the masks, and thrown away.
        """
        self.rebuild((), 1)
        self.begin(Pass(0, (0,), (RowRead(0, 0, 2, None),)))
        model(mx.zeros((1, 2), mx.int32), cache=self.layers)
        self.end()
        self.rebuild((), 0)

    def allows(self, sharing: Sharing) -> bool:
        """Return True if rows may share passes this way, as far as the caches go."""
        return all(group.allows(sharing) for group in self.groups)

    # Memory

    def arrays(self) -> list[mx.array]:
        """Return every array that a forward pass writes; evaluating them runs the pass."""
        return [array for group in self.groups for array in group.arrays()]

    @property
    def num_bytes(self) -> int:
        """Bytes of the rows' caches, without snapshots and past states."""
        return sum(array.nbytes for array in self.arrays())

    def footprint(self) -> Footprint:
        """Return the bytes that rows need; known after the first pass."""
        return combined([group.footprint() for group in self.groups])

    def limit_past(self, num_bytes: int) -> None:
        """Keep at most `num_bytes` of past states of recurrent layers, over all rows."""
        for group in self.groups:
            group.limit_past(num_bytes)

    def reserve(self, length: int) -> None:
        """Make room for rows of `length` tokens now, rather than by repeated growing."""
        for group in self.groups:
            group.reserve(length)

    def prepare(self, num_rows: int, length: int) -> bool:
        """Do one step's share of making room for another row, while running rows continue.

        Args:
            num_rows: Rows of the batch, with the one to be admitted.
            length: Tokens of the prompt to be admitted.

        Returns:
            True once there is room; until then, admitting the row would make all others wait.
        """
        are_ready = [group.prepare(num_rows, length) for group in self.groups]  # every group's
        return all(are_ready)

    # Rows

    def rebuild(self, keep: Sequence[int], num_new: int, *, longest: int = 0) -> None:
        """Make the batch the rows `keep`, in that order, followed by `num_new` empty rows.

        Args:
            keep: The rows that stay; each keeps its index or gets a lower one.
            num_new: Empty rows to add.
            longest: Tokens that any row can grow to.
        """
        for group in self.groups:
            group.rebuild(keep, num_new, longest)
        self._pins = [self._pins[row] for row in keep] + [set() for _ in range(num_new)]

    def clean(self, row: int) -> None:
        """Overwrite a row with zeros, before another row takes its slot.

        Masked values have weight zero, which is not enough if they are NaN: zero times NaN is NaN.
        """
        for group in self.groups:
            group.clean(row)

    @property
    def num_rows(self) -> int:
        """Rows of the batch."""
        return len(self._pins)

    def pin(self, row: int, positions: Sequence[int]) -> None:
        """Keep positions of a row reachable however many tokens follow them."""
        self._pins[row].update(positions)
        for group in self.groups:
            group.pin(row, positions)

    def reach(self, row: int, length: int) -> int:
        """Return the longest prefix of a row, of at most `length` tokens, to which it can rewind.

        All groups rewind to one length. What one group reaches may be out of another's reach, so
        they are queried until they agree:

            positions 10 and 20 pinned, 60 tokens held, rewind to 17
            first round     window: 17, by its snapshot at 20      states: 10, pinned
            second round    window: 10, by its snapshot at 10      states: 10
        """
        return agreed_reach([partial(group.reach, row) for group in self.groups], length)

    def rewind(self, row: int, length: int) -> int:
        """Rewind a row to at most its first `length` tokens; return how many are left."""
        length = self.reach(row, length)
        for group in self.groups:
            group.rewind(row, length)
        return length

    # What rows leave to the prefix cache

    def segment(self, row: int, begin: int, end: int) -> Segment:
        """Copy what a row holds of the tokens `begin` to `end`, of groups without snapshots."""
        return Segment(tuple(group.segment(row, begin, end) for group in self._segmented))

    def snapshots(self, row: int, length: int) -> dict[int, Snapshot]:
        """Return snapshots by position: of pinned positions, and of `length`, the row's own.

        A position of which any group holds nothing any more is left out.
        """
        found: dict[int, Snapshot] = {}
        for position in {*self._pins[row], length}:
            if 0 < position <= length:
                held = [group.snapshot(row, position) for group in self._snapshotted]
                parts = tuple(part for part in held if part is not None)
                if len(parts) == len(held):
                    found[position] = Snapshot(position, parts)
        return found

    def restore(
        self,
        row: int,
        length: int,
        segments: Sequence[tuple[int, Segment]],
        snapshot: Snapshot | None,
    ) -> None:
        """Make an empty row hold what another held of the same tokens.

        Args:
            row: The row.
            length: Tokens to hold.
            segments: The tokens' segments in order, each with the position of its first token.
            snapshot: What to resume from, if groups need one.
        """
        for position, segment in segments:
            for group, layers in zip(self._segmented, segment.parts, strict=True):
                group.write(row, position, layers)
        if snapshot is not None:
            for group, part in zip(self._snapshotted, snapshot.parts, strict=True):
                group.restore(row, length, part)

    def copy(self, row: int, source: int, length: int) -> bool:
        """Make an empty row hold the first `length` tokens of another, if they are all held.

        Returns:
            False if a group holds nothing from which a row can resume there; nothing is copied.
        """
        held = [group.snapshot(source, length) for group in self._snapshotted]
        parts = tuple(part for part in held if part is not None)
        if len(parts) < len(held):
            return False
        snapshot = Snapshot(length, parts) if parts else None
        self.restore(row, length, [(0, self.segment(source, 0, length))], snapshot)
        return True

    # The forward pass

    def begin(self, pass_: Pass) -> None:
        """Prepare a forward pass, for which the model is called with `layers`."""
        for group in self.groups:
            group.begin(pass_)

    def end(self) -> None:
        """Take over what the pass left in the layers."""
        for group in self.groups:
            group.end()
