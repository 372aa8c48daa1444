"""States of recurrent layers (state space, gated delta, short convolutions), row by row.

A forward pass takes the states of its rows and leaves new ones; it writes into none. So a row's
state is a reference to what a pass left and an index into it, and rewinding is picking an older
reference. Nothing is copied while the same rows run step after step:

    step   pass over rows     leaves       row 0        row 1
    5      0 1                A            A[0]         A[1]
    6      0 1                B            B[0], A[0]   B[1], A[1]
    row 1 backtracks          -            B[0], A[0]   A[1]
    7      0 1                needs B[0] and A[1]: joined by a copy
"""

from collections.abc import Sequence

import mlx.core as mx
from mlx_lm.models.cache import ArraysCache
from msgspec import Struct

from concordance_inference.engine.caches.budget import PAST_BYTES, Footprint
from concordance_inference.engine.caches.group import NUM_SNAPSHOTS, CacheGroup
from concordance_inference.engine.caches.history import History
from concordance_inference.engine.plan import Pass, Sharing

#: Past positions held of a row, if they fit into memory.
MAX_DEPTH = 32

#: Positions always held: before and after a token that is processed before mods have seen it.
MIN_DEPTH = 2

Arrays = tuple[mx.array | None, ...]


class StateCache(ArraysCache):
    """One layer's states for the rows of the current pass, with the interface of mlx-lm's cache."""

    def __init__(self, size: int) -> None:
        """Make a cache of `size` arrays, each (rows, ...)."""
        super().__init__(size)

    def begin(self, arrays: Arrays) -> None:
        """Set the states that a pass starts from; `None` at position 0."""
        self.cache = list(arrays)


class StateRef:
    """The states of one row: a row of what a pass left in every layer."""

    def __init__(self, layers: tuple[Arrays, ...], index: int) -> None:
        """Refer to row `index` of `layers`."""
        self.layers = layers
        self.index = index

    def own(self) -> "StateRef":
        """Copy the states, so that they keep no other row's alive."""
        one = slice(self.index, self.index + 1)
        copies = [
            tuple(None if a is None else mx.contiguous(a[one]) for a in arrays)
            for arrays in self.layers
        ]
        return StateRef(tuple(copies), 0)

    def arrays(self) -> list[mx.array]:
        """Return every array that is referred to."""
        return [array for arrays in self.layers for array in arrays if array is not None]


class StateSnapshot(Struct, frozen=True, eq=False):
    """The states of a row at a position, in arrays of their own."""

    position: int
    states: StateRef

    @property
    def num_bytes(self) -> int:
        """Bytes of the states."""
        return sum(array.nbytes for array in self.states.arrays())

    def reach(self, length: int) -> int:
        """Return its position if that is at most `length`, else 0."""
        return self.position if self.position <= length else 0


class RecurrentGroup(CacheGroup):
    """All recurrent layers of a model."""

    key = "recurrent"
    needs_snapshots = True

    def __init__(self, *, depth: int = MAX_DEPTH) -> None:
        """Make the group, without layers and rows.

        Args:
            depth: Past positions held of a row, at most.
        """
        self.layers: list[StateCache] = []
        self._past_bytes = PAST_BYTES  # of past states of all rows, beyond `MIN_DEPTH` of each
        self._depth = depth
        self._rows: list[History[StateRef]] = []
        self._row_bytes = 0  # of the states of one row at one position
        self._pass: Pass | None = None

    def add_layer(self, cache: ArraysCache) -> StateCache:
        """Add a layer with as many arrays as mlx-lm's cache has."""
        self.layers.append(StateCache(len(cache.cache)))
        return self.layers[-1]

    def arrays(self) -> list[mx.array]:
        """Return the arrays of the rows' current states, each once."""
        found = {
            id(array): array
            for row in self._rows
            if row.current is not None
            for array in row.current.arrays()
        }
        return list(found.values())

    def footprint(self) -> Footprint:
        """Return the bytes of a row's states; known after the first pass."""
        return Footprint(
            per_row=(MIN_DEPTH + NUM_SNAPSHOTS) * self._row_bytes,
            past=(MAX_DEPTH - MIN_DEPTH) * self._row_bytes,
        )

    def limit_past(self, num_bytes: int) -> None:
        """Keep at most `num_bytes` of past states, beyond `MIN_DEPTH` positions of each row."""
        self._past_bytes = num_bytes

    # Rows

    def rebuild(self, keep: Sequence[int], num_new: int, longest: int = 0) -> None:  # noqa: ARG002
        """Make the batch the rows `keep`, in that order, followed by `num_new` empty rows."""
        new = [History[StateRef](MIN_DEPTH) for _ in range(num_new)]
        self._rows = [*(self._rows[row] for row in keep), *new]
        self._set_depth()

    def _set_depth(self) -> None:
        """Let each row hold as many past positions as fit, `MIN_DEPTH` before the first pass."""
        depth = MIN_DEPTH
        if self._row_bytes and self._rows:
            fitting = self._past_bytes // (self._row_bytes * len(self._rows))
            depth = min(self._depth, MIN_DEPTH + fitting)
        for row in self._rows:
            row.depth = depth

    def pin(self, row: int, positions: Sequence[int]) -> None:
        """Keep the states that a row will have at these positions."""
        self._rows[row].pin(positions)

    def reach(self, row: int, length: int) -> int:
        """Return the last position of a row, of at most `length`, whose states are held."""
        return self._rows[row].reach(length)

    def rewind(self, row: int, length: int) -> None:
        """Rewind a row to a position that `reach` returned."""
        self._rows[row].rewind(length)

    def snapshot(self, row: int, position: int) -> StateSnapshot | None:
        """Copy the states of a row at a position, if they are held."""
        held = self._rows[row].held_at(position)
        if held is None:
            return None
        own = held.own()
        mx.async_eval(own.arrays())
        return StateSnapshot(position, own)

    def restore(self, row: int, length: int, part: StateSnapshot) -> None:
        """Make an empty row resume at the position of a snapshot, which is `length`."""
        self._rows[row].push(length, part.states)

    # The forward pass

    def begin(self, pass_: Pass) -> None:
        """Give the layers the states of the rows of a pass.

        An idle row that holds nothing is computed with zeros, like a new one.
        """
        self._pass = pass_
        reading = {read.row for read in pass_.reads}
        refs = [
            self._rows[row].current if row in reading or self._rows[row].position else None
            for row in range(pass_.rows.start, pass_.rows.stop)
        ]
        is_start = pass_.starts[pass_.reads[0].row - pass_.first] == 0
        for i, layer in enumerate(self.layers):
            size = len(layer.cache)
            layer.begin((None,) * size if is_start else _joined(refs, i, size))

    def end(self) -> None:
        """Keep the states that the pass left, for the rows that processed tokens in it."""
        assert self._pass is not None
        left = tuple(tuple(layer.cache) for layer in self.layers)
        for read in self._pass.reads:
            row = self._rows[read.row]
            at = read.row - self._pass.first
            position = self._pass.starts[at] + read.num_tokens
            row.push(position, StateRef(left, at))
        arrays = StateRef(left, 0).arrays()
        row_bytes = sum(array.nbytes // array.shape[0] for array in arrays)
        if row_bytes != self._row_bytes:
            self._row_bytes = row_bytes
            self._set_depth()
        self._pass = None

    def allows(self, sharing: Sharing) -> bool:
        """Reject `PADDED`: padding would change a state."""
        return sharing is not Sharing.PADDED


def _joined(refs: Sequence[StateRef | None], layer: int, size: int) -> Arrays:
    """The states of several rows in one array each; without a copy if one pass left them so."""
    some = next(ref for ref in refs if ref is not None)
    if all(ref is not None and ref.layers is some.layers for ref in refs):
        indices = [ref.index for ref in refs if ref is not None]
        arrays = some.layers[layer]
        num_rows = next((array.shape[0] for array in arrays if array is not None), 0)
        if indices == list(range(num_rows)):
            return arrays
    return tuple(_concatenated(refs, layer, slot) for slot in range(size))


def _concatenated(refs: Sequence[StateRef | None], layer: int, slot: int) -> mx.array | None:
    rows = [_row(ref, layer, slot) for ref in refs]
    like = next((row for row in rows if row is not None), None)
    if like is None:
        return None
    return mx.concatenate([mx.zeros_like(like) if row is None else row for row in rows])


def _row(ref: StateRef | None, layer: int, slot: int) -> mx.array | None:
    array = None if ref is None else ref.layers[layer][slot]
    return None if ref is None or array is None else array[ref.index : ref.index + 1]
