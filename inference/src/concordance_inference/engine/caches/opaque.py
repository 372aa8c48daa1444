"""Caches of kinds that the batch does not know: mlx-lm's own, one set for each row.

Such rows are read one at a time. A pass works on a copy of what the row held before; mlx copies
arrays only when they are written into, so a cache that replaces its arrays costs nothing, and one
that writes into them costs a copy for each pass.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from concordance_inference.engine.caches.history import History
from concordance_inference.engine.plan import Pass

#: So many past positions of a row are held.
DEPTH = 4


class OpaqueGroup:
    """All layers of a model that makes caches of its own kind."""

    def __init__(self, make: Callable[[], list[Any]]) -> None:
        """Make the group, without rows.

        Args:
            make: Makes the caches of one row.
        """
        self._make = make
        self._rows: list[History[list[Any]]] = []
        self._working: list[Any] = []
        self._pass: Pass | None = None

    @property
    def layers(self) -> list[Any]:
        """The caches of the row of the pass under way."""
        return self._working

    @property
    def num_bytes(self) -> int:
        """What the rows' caches take now, in bytes."""
        return sum(array.nbytes for array in self.arrays())

    @property
    def token_bytes(self) -> int:
        """What each token takes, as far as can be told from the rows that there are, in bytes."""
        return self.num_bytes // max(1, sum(row.position for row in self._rows))

    def arrays(self) -> list[mx.array]:
        """The arrays of the rows' current caches."""
        return [array for row in self._rows for array in _arrays(row.current or [])]

    def rebuild(self, keep: Sequence[int], num_new: int) -> None:
        """Make the rows `keep`, in that order, and `num_new` empty ones behind them the batch."""
        new = [History[list[Any]](DEPTH) for _ in range(num_new)]
        self._rows = [*(self._rows[row] for row in keep), *new]

    def pin(self, row: int, positions: Sequence[int]) -> None:
        """Keep what a row will hold at some positions."""
        self._rows[row].pin(positions)

    def reach(self, row: int, length: int) -> int:
        """The longest beginning of a row, of at most `length` tokens, that can be gone back to."""
        return self._rows[row].reach(length)

    def rewind(self, row: int, length: int) -> None:
        """Go back to a length that `reach` gave."""
        self._rows[row].rewind(length)

    def snapshot(self, row: int, position: int) -> list[Any] | None:
        """What a row held at a position, if that is still held."""
        return self._rows[row].held_at(position)

    def restore(self, row: int, position: int, caches: list[Any]) -> None:
        """Make an empty row hold what was held elsewhere after the same tokens."""
        self._rows[row].push(position, caches)

    def begin(self, pass_: Pass) -> None:
        """Take the row of a pass, which has one only."""
        assert len(pass_.starts) == 1
        self._pass = pass_
        held = self._rows[pass_.first].current
        self._working = self._make() if held is None else copy.deepcopy(held)

    def end(self) -> None:
        """Book what the pass left behind."""
        assert self._pass is not None
        position = self._pass.starts[0] + self._pass.num_tokens
        self._rows[self._pass.first].push(position, self._working)
        self._working, self._pass = [], None


def _arrays(caches: Sequence[Any]) -> list[mx.array]:
    leaves: Any = tree_flatten([cache.state for cache in caches])
    return [leaf for _, leaf in leaves if isinstance(leaf, mx.array)]
