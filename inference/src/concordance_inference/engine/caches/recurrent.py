"""States of recurrent layers (state space, gated delta, short convolutions), row by row.

A forward pass takes the states of its rows and leaves new ones; none is ever written into. So the
states of a row are a reference to what a pass left and an index into it, and going back is picking
an older reference. Where the same rows run step after step, nothing is copied at all.
"""

from collections.abc import Sequence

import mlx.core as mx
from mlx_lm.models.cache import ArraysCache

from concordance_inference.engine.caches.budget import PAST_BYTES
from concordance_inference.engine.caches.history import History
from concordance_inference.engine.plan import Pass

#: So many past positions of a row are held, if they fit.
MAX_DEPTH = 32

#: The states before and after a token that was read before anyone had seen it.
MIN_DEPTH = 2

Arrays = tuple[mx.array | None, ...]


class StateCache(ArraysCache):
    """One layer's states for the rows of the pass under way, with the face of mlx-lm's cache."""

    def __init__(self, size: int) -> None:
        """Make a cache of so many arrays, each (rows, ...)."""
        super().__init__(size)

    def begin(self, arrays: Arrays) -> None:
        """Take the states from which a pass goes on; `None` where it begins anew."""
        self.cache = list(arrays)


class StateRef:
    """The states of one row: a row of what a pass left in every layer."""

    def __init__(self, layers: tuple[Arrays, ...], index: int) -> None:
        """Refer to row `index` of `layers`."""
        self.layers = layers
        self.index = index

    def own(self) -> "StateRef":
        """The same states in arrays of their own, which keep no other row alive."""
        one = slice(self.index, self.index + 1)
        copies = [
            tuple(None if a is None else mx.contiguous(a[one]) for a in arrays)
            for arrays in self.layers
        ]
        return StateRef(tuple(copies), 0)

    def arrays(self) -> list[mx.array]:
        """Every array that is referred to."""
        return [array for arrays in self.layers for array in arrays if array is not None]


class RecurrentGroup:
    """All recurrent layers of a model."""

    def __init__(self, *, depth: int = MAX_DEPTH) -> None:
        """Make the group, without layers and rows.

        Args:
            depth: How many past positions of a row are held, at most.
        """
        self.layers: list[StateCache] = []
        self.held_bytes = PAST_BYTES  # of past states of all rows, beyond `MIN_DEPTH` of each
        self._depth = depth
        self._rows: list[History[StateRef]] = []
        self._row_bytes = 0  # what the states of one row take, at one position
        self._pass: Pass | None = None

    def add_layer(self, size: int) -> StateCache:
        """The cache of one more layer, of so many arrays."""
        self.layers.append(StateCache(size))
        return self.layers[-1]

    @property
    def num_bytes(self) -> int:
        """What the current states of the rows take, in bytes."""
        return sum(array.nbytes for array in self.arrays())

    @property
    def row_bytes(self) -> int:
        """Bytes of the states of one row at one position; known after the first pass."""
        return self._row_bytes

    def arrays(self) -> list[mx.array]:
        """The arrays of the rows' current states, each once."""
        found = {
            id(array): array
            for row in self._rows
            if row.current is not None
            for array in row.current.arrays()
        }
        return list(found.values())

    def rebuild(self, keep: Sequence[int], num_new: int) -> None:
        """Make the rows `keep`, in that order, and `num_new` empty ones behind them the batch."""
        new = [History[StateRef](MIN_DEPTH) for _ in range(num_new)]
        self._rows = [*(self._rows[row] for row in keep), *new]
        self._bound()

    def _bound(self) -> None:
        """Let each row hold as many past positions as fit.

        Before the first pass, the size of the states is not known, and each row holds as few as it
        can do with.
        """
        depth = MIN_DEPTH
        if self._row_bytes and self._rows:
            fitting = self.held_bytes // (self._row_bytes * len(self._rows))
            depth = min(self._depth, MIN_DEPTH + fitting)
        for row in self._rows:
            row.depth = depth

    def pin(self, row: int, positions: Sequence[int]) -> None:
        """Keep what a row will hold at some positions."""
        self._rows[row].pin(positions)

    def reach(self, row: int, length: int) -> int:
        """The longest beginning of a row, of at most `length` tokens, that can be gone back to."""
        return self._rows[row].reach(length)

    def rewind(self, row: int, length: int) -> None:
        """Go back to a length that `reach` gave."""
        self._rows[row].rewind(length)

    def begin(self, pass_: Pass) -> None:
        """Hand the layers the states of the rows of a pass."""
        self._pass = pass_
        reading = {read.row for read in pass_.reads}
        refs = [
            self._rows[row].current if row in reading or self._rows[row].position else None
            for row in range(pass_.rows.start, pass_.rows.stop)
        ]
        begins = pass_.starts[pass_.reads[0].row - pass_.first] == 0
        for i, layer in enumerate(self.layers):
            size = len(layer.cache)
            layer.begin((None,) * size if begins else _joined(refs, i, size))

    def end(self) -> None:
        """Book what the pass left behind."""
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
            self._bound()
        self._pass = None

    def snapshot(self, row: int, position: int) -> StateRef | None:
        """What a row held at a position, if that is still held, in arrays of its own."""
        held = self._rows[row].held_at(position)
        if held is None:
            return None
        own = held.own()
        mx.async_eval(own.arrays())
        return own

    def restore(self, row: int, position: int, states: StateRef) -> None:
        """Make an empty row hold what was held elsewhere after the same tokens."""
        self._rows[row].push(position, states)


def _joined(refs: Sequence[StateRef | None], layer: int, size: int) -> Arrays:
    """The states of several rows in one array each: those of a pass as they are, if they can be."""
    some = next(ref for ref in refs if ref is not None)
    if all(ref is not None and ref.layers is some.layers for ref in refs):
        indices = [ref.index for ref in refs if ref is not None]
        arrays = some.layers[layer]
        if indices == list(range(_num_rows(arrays))):
            return arrays
    return tuple(_concatenated(refs, layer, slot) for slot in range(size))


def _num_rows(arrays: Arrays) -> int:
    return next((array.shape[0] for array in arrays if array is not None), 0)


def _concatenated(refs: Sequence[StateRef | None], layer: int, slot: int) -> mx.array | None:
    rows = [_row(ref, layer, slot) for ref in refs]
    like = next((row for row in rows if row is not None), None)
    if like is None:
        return None
    return mx.concatenate([mx.zeros_like(like) if row is None else row for row in rows])


def _row(ref: StateRef | None, layer: int, slot: int) -> mx.array | None:
    array = None if ref is None else ref.layers[layer][slot]
    return None if ref is None or array is None else array[ref.index : ref.index + 1]
