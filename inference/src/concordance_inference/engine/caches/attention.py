"""Keys and values of full-attention layers, for a batch whose rows have different lengths.

The cache keeps no lengths of its own. Each forward pass is given the lengths of its rows;
it writes after them and masks by them, so rewinding a row is passing a smaller number next time.
What is past a row's length is stale, masked, and overwritten by the next pass.

    row 0, length 6     a b c d e f . .
    backtrack by 3      a b c . . .          d e f are still in the buffer, and masked
    next pass: x y      a b c x y . .        written over d e

Nothing here is specific to a model: mlx-lm's attention layers call `update_and_fetch`, read
`offset` for their rotary embedding, and request a mask.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from concordance_inference.engine.caches.budget import Footprint
from concordance_inference.engine.caches.geometry import Geometry
from concordance_inference.engine.caches.group import CacheGroup, KeysValues
from concordance_inference.engine.caches.kv_buffers import AttentionCache, KVBuffers, rounded
from concordance_inference.engine.plan import Pass


class AttentionGroup(CacheGroup):
    """All layers of a model that attend to every earlier position."""

    key = "full"
    needs_snapshots = False

    def __init__(self) -> None:
        """Make the group, without layers and rows."""
        self.buffers = KVBuffers(Geometry(slice(0, 0), (), (), 0, None))

    def add_layer(self, cache: Any = None) -> AttentionCache:  # noqa: ARG002
        """Add a layer, which masks with the window that the model requests, if any."""
        return self.buffers.add_layer(lambda window: window)

    def arrays(self) -> list[mx.array]:
        """Return the buffers of all layers."""
        return self.buffers.arrays()

    def footprint(self) -> Footprint:
        """Return the bytes of a position; known after the first pass."""
        return Footprint(per_token=self.buffers.position_bytes, growth=rounded(1))

    def reserve(self, length: int) -> None:
        """Make room for rows of `length` tokens now."""
        self.buffers.reserve(length)

    def prepare(self, num_rows: int, length: int) -> bool:
        """Resize the next layers; return True once there is room for these rows."""
        return self.buffers.prepare(num_rows, length)

    def rebuild(self, keep: Sequence[int], num_new: int, longest: int = 0) -> None:
        """Make the batch the rows `keep`, in that order, followed by `num_new` empty rows."""
        self.buffers.move(keep)
        self.buffers.fit(len(keep) + num_new, longest)

    def clean(self, row: int) -> None:
        """Overwrite a row with zeros."""
        self.buffers.clean(row)

    def reach(self, row: int, length: int) -> int:  # noqa: ARG002
        """Return `length`: every prefix is held."""
        return length

    def segment(self, row: int, begin: int, end: int) -> tuple[KeysValues, ...]:
        """Copy a row's keys and values of the positions `begin` to `end`, layer by layer."""
        return self.buffers.read(row, slice(begin, end))

    def write(self, row: int, position: int, layers: Sequence[KeysValues]) -> None:
        """Write a segment into a row, from `position` on."""
        self.buffers.write(row, position, layers)

    def begin(self, pass_: Pass) -> None:
        """Make room for a pass and lay it out."""
        lengths = pass_.starts
        self.buffers.advance(max(lengths) + pass_.num_tokens)
        starts = (0,) * len(lengths)
        self.buffers.geometry = Geometry(pass_.rows, lengths, starts, pass_.num_tokens, None)

    def spoil(self, row: int, length: int) -> None:
        """Write noise after the first `length` tokens of a row."""
        self.buffers.spoil(row, length)
