"""Caches of kinds that no family handles: mlx-lm's own, one set for each row.

Such rows run one at a time. A pass works on a copy of what the row held before. mlx copies arrays
only when they are written into, so a cache that replaces its arrays costs nothing, and one that
writes into them costs a copy for each pass.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from msgspec import Struct

from concordance_inference.engine.caches.budget import Footprint
from concordance_inference.engine.caches.group import CacheGroup
from concordance_inference.engine.caches.history import History
from concordance_inference.engine.plan import Pass, Sharing

#: Past positions held of a row.
DEPTH = 4

#: mlx-lm's caches grow by this many positions.
_GROWTH = 256


class OpaqueSnapshot(Struct, frozen=True, eq=False):
    """The caches of a row at a position, which later passes copy and never write into."""

    position: int
    caches: Sequence[Any]

    @property
    def num_bytes(self) -> int:
        """Bytes of the caches' arrays."""
        return sum(array.nbytes for array in _arrays(self.caches))

    def reach(self, length: int) -> int:
        """Return its position if that is at most `length`, else 0."""
        return self.position if self.position <= length else 0


class OpaqueGroup(CacheGroup):
    """All layers of a model whose caches are of no known kind."""

    key = "opaque"
    needs_snapshots = True

    def __init__(self, make: Callable[[], list[Any]]) -> None:
        """Make the group, without rows.

        Args:
            make: Makes the caches of one row.
        """
        self.layers: list[Any] = []  # the caches of the row of the current pass
        self._make = make
        self._rows: list[History[list[Any]]] = []
        self._pass: Pass | None = None

    def add_layer(self, cache: Any) -> Any:
        """Fail: all layers are made together."""
        raise NotImplementedError

    def arrays(self) -> list[mx.array]:
        """Return the arrays of the rows' current caches."""
        return [array for row in self._rows for array in _arrays(row.current or [])]

    def footprint(self) -> Footprint:
        """Return the bytes of a token, as far as the present rows show."""
        num_bytes = sum(array.nbytes for array in self.arrays())
        num_tokens = sum(row.position for row in self._rows)
        return Footprint(per_token=num_bytes // max(1, num_tokens), growth=_GROWTH)

    def rebuild(self, keep: Sequence[int], num_new: int, longest: int = 0) -> None:  # noqa: ARG002
        """Make the batch the rows `keep`, in that order, followed by `num_new` empty rows."""
        new = [History[list[Any]](DEPTH) for _ in range(num_new)]
        self._rows = [*(self._rows[row] for row in keep), *new]

    def pin(self, row: int, positions: Sequence[int]) -> None:
        """Keep the caches that a row will have at these positions."""
        self._rows[row].pin(positions)

    def reach(self, row: int, length: int) -> int:
        """Return the last position of a row, of at most `length`, whose caches are held."""
        return self._rows[row].reach(length)

    def rewind(self, row: int, length: int) -> None:
        """Rewind a row to a position that `reach` returned."""
        self._rows[row].rewind(length)

    def snapshot(self, row: int, position: int) -> OpaqueSnapshot | None:
        """Return the caches of a row at a position, if they are held."""
        held = self._rows[row].held_at(position)
        return None if held is None else OpaqueSnapshot(position, held)

    def restore(self, row: int, length: int, part: OpaqueSnapshot) -> None:
        """Make an empty row resume at the position of a snapshot, which is `length`."""
        self._rows[row].push(length, list(part.caches))

    def begin(self, pass_: Pass) -> None:
        """Copy the caches of the one row of a pass."""
        assert len(pass_.starts) == 1
        self._pass = pass_
        held = self._rows[pass_.first].current
        self.layers[:] = self._make() if held is None else copy.deepcopy(held)

    def end(self) -> None:
        """Keep the caches that the pass wrote."""
        assert self._pass is not None
        position = self._pass.starts[0] + self._pass.num_tokens
        self._rows[self._pass.first].push(position, list(self.layers))
        self.layers.clear()
        self._pass = None

    def allows(self, sharing: Sharing) -> bool:
        """Allow `ALONE` only."""
        return sharing is Sharing.ALONE


def _arrays(caches: Sequence[Any]) -> list[mx.array]:
    leaves: Any = tree_flatten([cache.state for cache in caches])
    return [leaf for _, leaf in leaves if isinstance(leaf, mx.array)]
