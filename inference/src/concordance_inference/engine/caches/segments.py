"""What a row's caches hold, copied so that it outlives the row and other rows can use it."""

from collections.abc import Callable, Sequence

import mlx.core as mx
from msgspec import Struct

from concordance_inference.engine.caches.group import KeysValues, SnapshotPart


class Segment(Struct, frozen=True, eq=False):
    """Keys and values of consecutive tokens, of the groups that can be cut at any position."""

    parts: tuple[tuple[KeysValues, ...], ...]  # group by group, layer by layer

    @property
    def num_bytes(self) -> int:
        """Bytes of the keys and values."""
        return sum(keys.nbytes + values.nbytes for part in self.parts for keys, values in part)

    def split(self, num_tokens: int) -> tuple["Segment", "Segment"]:
        """Copy the first `num_tokens` tokens and the rest, so that each can be evicted alone."""
        halves = self._copied(slice(num_tokens)), self._copied(slice(num_tokens, None))
        mx.async_eval([half.parts for half in halves])
        return halves

    def _copied(self, span: slice) -> "Segment":
        parts = [
            tuple((mx.contiguous(k[:, :, span]), mx.contiguous(v[:, :, span])) for k, v in part)
            for part in self.parts
        ]
        return Segment(tuple(parts))

    def first(self, num_tokens: int) -> "Segment":
        """Return a view of the first `num_tokens` tokens."""
        parts = [
            tuple((k[:, :, :num_tokens], v[:, :, :num_tokens]) for k, v in part)
            for part in self.parts
        ]
        return Segment(tuple(parts))


class Snapshot(Struct, frozen=True, eq=False):
    """What a row needs to resume from a position, of the groups that cannot be cut anywhere."""

    position: int  # tokens before it
    parts: tuple[SnapshotPart, ...]  # group by group

    @property
    def num_bytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.num_bytes for part in self.parts)

    def reach(self, length: int) -> int:
        """Return the longest prefix, of at most `length` tokens, that can resume from it, or 0.

        Every part has to reach it. A window can resume from a few positions before its own, a
        recurrent state only from its own, so the parts are queried until they agree:

            snapshot at 9, length 7:   window -> 7   state -> 0   window -> 0: nothing to resume
        """
        return agreed_reach([part.reach for part in self.parts], length)


def agreed_reach(reaches: Sequence[Callable[[int], int]], length: int) -> int:
    """Return the greatest length, of at most `length`, that every function returns unchanged.

    Each function returns at most its argument, and 0 for 0, so this ends.
    """
    reached = -1
    while reached != length:
        reached = length
        for reach in reaches:
            length = reach(length)
    return length
