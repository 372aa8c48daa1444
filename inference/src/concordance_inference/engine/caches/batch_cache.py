"""The caches of all layers of a model, for the rows of a batch."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import (
    ArraysCache,
    CacheList,
    ChunkedKVCache,
    KVCache,
    RotatingKVCache,
    make_prompt_cache,
)

from concordance_inference.engine.caches.attention import MARGIN, AttentionGroup, rounded
from concordance_inference.engine.caches.budget import Footprint
from concordance_inference.engine.caches.opaque import OpaqueGroup
from concordance_inference.engine.caches.recurrent import MAX_DEPTH, MIN_DEPTH, RecurrentGroup
from concordance_inference.engine.caches.segments import Segment, Snapshot
from concordance_inference.engine.caches.windows import KeysValues
from concordance_inference.engine.plan import Pass, RowRead, Sharing

Group = AttentionGroup | RecurrentGroup | OpaqueGroup

#: At so many positions a row is counted as being able to go on: its prompt's end, shortly before,
#: and where it left what was known of it.
NUM_SNAPSHOTS = 3


class BatchCache:
    """One cache per layer in the model's order, each with a row for every request in the batch.

    The lengths of the rows are the caller's: each pass is told how much of every row counts.
    Layers of one kind form a group; going back to a length has to be possible for all of them.
    """

    def __init__(self, model: Any, *, margin: int = MARGIN, is_foreign: bool = False) -> None:
        """Make the caches that a model wants, without rows.

        Args:
            model: One of mlx-lm's.
            margin: How many tokens behind its window a sliding layer keeps.
            is_foreign: Whether to use mlx-lm's own caches, one set for each row, whatever they are.
        """
        self._margin = margin
        self._attention: dict[int | None, AttentionGroup] = {}
        self._states: RecurrentGroup | None = None
        self._foreign: OpaqueGroup | None = None
        self._layers: list[Any] = []
        self._pins: list[set[int]] = []  # per row
        made = make_prompt_cache(model)
        if not is_foreign and all(_is_known(cache) for cache in made):
            self._layers = [self._layer_for(cache) for cache in made]
            if self.has_windows:
                self._learn_windows(model)
        else:
            self._foreign = OpaqueGroup(lambda: make_prompt_cache(model))

    def _layer_for(self, cache: Any) -> Any:
        """What stands in the place of one of mlx-lm's caches."""
        match cache:
            case CacheList():
                return CacheList(*(self._layer_for(inner) for inner in cache.caches))
            case ArraysCache():
                self._states = self._states or RecurrentGroup()
                return self._states.add_layer(len(cache.cache))
            case RotatingKVCache():
                return self._attention_group(cache.max_size).add_layer()
            case ChunkedKVCache():
                group = self._attention_group(cache.chunk_size)
                group.is_chunked = True
                return group.add_layer()
            case KVCache():
                return self._attention_group(None).add_layer()
            case _:
                return None

    def _attention_group(self, window: int | None) -> AttentionGroup:
        if window not in self._attention:
            self._attention[window] = AttentionGroup(window=window, margin=self._margin)
        return self._attention[window]

    def _learn_windows(self, model: Any) -> None:
        """Let the model ask for its windows, in a pass that is built and never computed."""
        self.rebuild((), 1)
        self.begin(Pass(0, (0,), (RowRead(0, 0, 2, None),)))
        model(mx.zeros((1, 2), mx.int32), cache=self._layers)
        self.end()
        self.rebuild((), 0)

    def narrow(self, window: int) -> None:
        """Make windows narrower, so that a trial gets past them with few tokens.

        Chunks are left alone: a model masks them itself.
        """
        for kept, group in self._attention.items():
            if kept is not None and not group.is_chunked:
                group.narrow(window)

    def spoil(self, row: int, length: int) -> None:
        """Put noise behind the first `length` tokens of a row, where nobody may look."""
        for group in self._attention.values():
            group.spoil(row, length)

    @property
    def layers(self) -> list[Any]:
        """What the model is handed for the pass under way."""
        return self._foreign.layers if self._foreign else self._layers

    @property
    def sharing(self) -> Sharing:
        """What rows can at most share, as far as the caches go."""
        if self._foreign:
            return Sharing.ALONE
        return Sharing.RAGGED if self._states else Sharing.PADDED

    @property
    def is_foreign(self) -> bool:
        """Whether each row has mlx-lm's own caches."""
        return self._foreign is not None

    @property
    def has_windows(self) -> bool:
        """Whether rows that hold equally many tokens may hold them from different places on."""
        return any(window is not None for window in self._attention)

    @property
    def _groups(self) -> list[Group]:
        others = [group for group in (self._states, self._foreign) if group]
        return [*self._attention.values(), *others]

    @property
    def num_bytes(self) -> int:
        """What the caches take, in bytes."""
        return sum(group.num_bytes for group in self._groups)

    def footprint(self) -> Footprint:
        """What rows take; known after the first pass."""
        full = self._attention.get(None)
        windows = [g for window, g in self._attention.items() if window is not None]
        states = self._states.row_bytes if self._states else 0
        snapshots = NUM_SNAPSHOTS * sum(group.snapshot_bytes for group in windows)
        foreign = self._foreign.token_bytes if self._foreign else 0
        return Footprint(
            per_token=foreign + (full.position_bytes if full else 0),
            per_slot=sum(group.window_bytes for group in windows),
            per_row=snapshots + (MIN_DEPTH + NUM_SNAPSHOTS) * states,
            past=(MAX_DEPTH - MIN_DEPTH) * states,
            growth=rounded(1),
        )

    def hold_past(self, num_bytes: int) -> None:
        """Let past states of recurrent layers take at most so many bytes, for all rows together."""
        if self._states:
            self._states.held_bytes = num_bytes

    def arrays(self) -> list[mx.array]:
        """Every array that a forward pass writes; evaluating them runs the pass."""
        return [array for group in self._groups for array in group.arrays()]

    # Rows

    def rebuild(self, keep: Sequence[int], num_new: int, *, longest: int = 0) -> None:
        """Make the rows `keep`, in that order, and `num_new` empty ones behind them the batch.

        A row may stay or move towards the front.

        Args:
            keep: The rows that stay.
            num_new: How many rows are added.
            longest: How many tokens any row can grow to.
        """
        for group in self._attention.values():
            group.rebuild(keep, num_new, longest)
        for group in (self._states, self._foreign):
            if group:
                group.rebuild(keep, num_new)
        self._pins = [self._pins[row] for row in keep] + [set() for _ in range(num_new)]

    def clean(self, row: int) -> None:
        """Put zeros in place of what a row holds, before another takes its place.

        What is masked counts nothing, unless it is NaN: zero times NaN is NaN. States are no
        matter, since each row has its own.
        """
        for group in self._attention.values():
            group.clean(row)

    @property
    def num_rows(self) -> int:
        """How many rows the batch has."""
        return len(self._pins)

    def pin(self, row: int, positions: Sequence[int]) -> None:
        """Be able to go back to some positions of a row, however long ago they were reached."""
        self._pins[row].update(positions)
        for group in self._groups:
            group.pin(row, positions)

    def reserve(self, length: int) -> None:
        """Have room for rows of so many tokens, rather than growing little by little."""
        if None in self._attention:
            self._attention[None].reserve(length)

    def prepare(self, num_rows: int, length: int) -> bool:
        """Get nearer to having room for so many rows, the longest of so many tokens.

        Called once a step, so that rows which run go on meanwhile.

        Args:
            num_rows: How many rows.
            length: How many tokens the longest new one begins with.

        Returns:
            True once there is room; until then, a row that is admitted makes all others wait.
        """
        are_ready = [group.prepare(num_rows, length) for group in self._attention.values()]
        return all(are_ready)

    def reach(self, row: int, length: int) -> int:
        """The longest beginning of a row, of at most `length` tokens, that can be gone back to."""
        reached = -1
        while reached != length:
            reached = length
            for group in self._groups:
                length = group.reach(row, length)
        return length

    def rewind(self, row: int, length: int) -> int:
        """Go back to at most the first `length` tokens of a row; return how many are left."""
        length = self.reach(row, length)
        for group in self._groups:
            group.rewind(row, length)
        return length

    # What rows leave to others

    @property
    def needs_snapshots(self) -> bool:
        """Whether a row can go on only from positions at which something was kept."""
        return self.has_windows or self._states is not None or self._foreign is not None

    def segment(self, row: int, begin: int, end: int) -> Segment:
        """What a row holds of the tokens from `begin` to `end`, layer by layer."""
        group = self._attention.get(None)
        return Segment(tuple(group.read(row, slice(begin, end))) if group else ())

    def snapshots(self, row: int, length: int) -> dict[int, Snapshot]:
        """What a row can go on from: at its pinned positions, and at `length`, where it is now."""
        found: dict[int, Snapshot] = {}
        for position in {*self._pins[row], length}:
            snapshot = self._snapshot(row, position) if 0 < position <= length else None
            if snapshot:
                found[position] = snapshot
        return found

    def _snapshot(self, row: int, position: int) -> Snapshot | None:
        windows = [
            group.snapshot(row, position)
            for window, group in self._attention.items()
            if window is not None
        ]
        states = self._states.snapshot(row, position) if self._states else None
        foreign = self._foreign.snapshot(row, position) if self._foreign else None
        held = [
            *windows,
            *([states] if self._states else []),
            *([foreign] if self._foreign else []),
        ]
        if any(part is None for part in held):
            return None
        return Snapshot(position, tuple(w for w in windows if w), states, foreign)

    def restore(
        self,
        row: int,
        length: int,
        parts: Sequence[tuple[int, Sequence[KeysValues]]],
        snapshot: Snapshot | None,
    ) -> None:
        """Make an empty row hold what another held of the same tokens.

        Args:
            row: The row.
            length: How many tokens.
            parts: Where each part begins, and its keys and values layer by layer.
            snapshot: From what to go on, if that is needed.
        """
        group = self._attention.get(None)
        for position, layers in parts if group else ():
            group.write(row, position, layers)  # type: ignore[union-attr]
        if snapshot is None:
            return
        windowed = [group for window, group in self._attention.items() if window is not None]
        for group, kept in zip(windowed, snapshot.windows, strict=True):
            group.restore(row, kept.first(length))
        if self._states and snapshot.states:
            self._states.restore(row, length, snapshot.states)
        if self._foreign:
            self._foreign.restore(row, length, snapshot.foreign)

    # The forward pass

    def begin(self, pass_: Pass) -> None:
        """Prepare a forward pass, after which the model can be called with `layers`."""
        for group in self._groups:
            group.begin(pass_)

    def end(self) -> None:
        """Book what the model left in its caches."""
        for group in (self._states, self._foreign):
            if group:
                group.end()


def _is_known(cache: Any) -> bool:
    """Whether this cache can be batched. A subclass may do anything, so types must be the same."""
    if type(cache) is CacheList:
        return all(_is_known(inner) for inner in cache.caches)
    if type(cache) is RotatingKVCache:
        return cache.keep == 0
    return cache is None or type(cache) in (KVCache, ArraysCache, ChunkedKVCache)
