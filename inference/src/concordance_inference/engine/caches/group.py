"""The protocol of a cache family: what `BatchCache` needs of a group of layers.

A new family is one module with a class that follows `CacheGroup`, and one line in `FAMILIES`.
"""

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import mlx.core as mx

from concordance_inference.engine.caches.budget import Footprint
from concordance_inference.engine.plan import Pass, Sharing

#: One layer's keys and values.  (1, kv_heads, positions, head_dim) each
KeysValues = tuple[mx.array, mx.array]

#: Snapshots that a row's memory is budgeted for: at the end of its prompt, shortly before it, and
#: where its prompt leaves the prefix that was cached.
NUM_SNAPSHOTS = 3


class SnapshotPart(Protocol):
    """One group's share of a snapshot: enough for a row to resume from a position."""

    @property
    def num_bytes(self) -> int:
        """Bytes of its arrays."""
        ...

    def reach(self, length: int) -> int:
        """Return the longest prefix, of at most `length` tokens, that can resume from it, or 0."""
        ...


class CacheGroup(Protocol):
    """All layers of a model whose caches are of one kind, for every row of the batch.

    A group keeps no lengths: each pass says how many tokens each of its rows holds. `BatchCache`
    calls all groups alike; layers whose groups have equal `key`s are in one group:

        layer 0  KVCache             AttentionGroup   key "full"
        layer 1  RotatingKVCache(8)  SlidingGroup     key (8, False)
        layer 2  KVCache             the group of layer 0

    A position is a number of tokens from the start of the row. Methods with a body are optional.
    """

    key: Hashable
    #: True if a row can resume only from positions of which a snapshot was kept. If not, what it
    #: holds can be cut at any position: `segment` and `write` instead of `snapshot` and `restore`.
    needs_snapshots: bool
    #: True if layers learn something from the model's first call, before any row is admitted.
    learns_from_model: bool = False

    def add_layer(self, cache: Any) -> Any:
        """Add a layer; return the cache that the model is called with in place of mlx-lm's."""
        ...

    # Memory

    def arrays(self) -> list[mx.array]:
        """Return every array that a forward pass writes."""
        ...

    def footprint(self) -> Footprint:
        """Return the bytes that rows need; known after the first pass."""
        ...

    def limit_past(self, num_bytes: int) -> None:
        """Keep at most `num_bytes` of past states, over all rows."""

    def reserve(self, length: int) -> None:
        """Make room for rows of `length` tokens."""

    def prepare(self, num_rows: int, length: int) -> bool:  # noqa: ARG002
        """Do one step's share of making room; return True once there is room.

        Args:
            num_rows: Rows of the batch, with the one to be admitted.
            length: Tokens of the longest prompt to be admitted.
        """
        return True

    # Rows

    def rebuild(self, keep: Sequence[int], num_new: int, longest: int = 0) -> None:
        """Make the batch the rows `keep`, in that order, followed by `num_new` empty rows.

        Args:
            keep: The rows that stay; each keeps its index or gets a lower one.
            num_new: Empty rows to add.
            longest: Tokens that any row can grow to.
        """
        ...

    def clean(self, row: int) -> None:
        """Overwrite a row with zeros, if another row may attend to masked values of its slot."""

    def pin(self, row: int, positions: Sequence[int]) -> None:
        """Keep positions of a row reachable however many tokens follow them."""

    def reach(self, row: int, length: int) -> int:
        """Return the longest prefix, of at most `length` tokens, to which a row can rewind."""
        ...

    def rewind(self, row: int, length: int) -> None:
        """Rewind a row to a length that `reach` returned."""

    # What rows leave to the prefix cache

    def segment(self, row: int, begin: int, end: int) -> tuple[KeysValues, ...]:  # noqa: ARG002
        """Copy a row's keys and values of the positions `begin` to `end`, layer by layer."""
        return ()

    def write(self, row: int, position: int, layers: Sequence[KeysValues]) -> None:
        """Write a segment into a row, from `position` on."""

    def snapshot(self, row: int, position: int) -> SnapshotPart | None:  # noqa: ARG002
        """Return what a row needs to resume from a position, or None if that is not held."""
        return None

    def restore(self, row: int, length: int, part: Any) -> None:
        """Make an empty row resume after `length` tokens from another row's snapshot."""

    # The forward pass

    def begin(self, pass_: Pass) -> None:
        """Prepare the layers for a forward pass."""
        ...

    def end(self) -> None:
        """Take over what the pass left in the layers."""

    # Calibration

    def allows(self, sharing: Sharing) -> bool:  # noqa: ARG002
        """Return True if rows may share passes this way, as far as these layers go."""
        return True

    def narrow(self, window: int) -> None:
        """Mask with a window of at most `window`, so that short trials run past it."""

    def spoil(self, row: int, length: int) -> None:
        """Write noise after the first `length` tokens of a row, where nothing may attend.

        In new buffers, what must be masked is zero and hardly changes the logits.
        """
