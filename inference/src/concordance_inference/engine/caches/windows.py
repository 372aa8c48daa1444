"""What a sliding-window row needs to go on from a position that it has left far behind."""

import mlx.core as mx
from msgspec import Struct

#: One layer's keys and values.  (1, kv_heads, positions, head_dim) each
KeysValues = tuple[mx.array, mx.array]


class WindowSnapshot(Struct, frozen=True, eq=False):
    """The last keys and values before a position, of every layer of a windowed group.

    window 4, position 9, start 5:   keys of positions  5 6 7 8
    going on from 9 sees 6 7 8, going on from 8 sees 5 6 7
    """

    position: int  # how many tokens stand before where the row can go on
    start: int  # the position of the first key
    window: int
    layers: tuple[KeysValues, ...]

    @property
    def num_bytes(self) -> int:
        """What it takes, in bytes."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)

    def reach(self, length: int) -> int:
        """The longest beginning, of at most `length` tokens, that can go on from it; 0 for none."""
        last = min(length, self.position)
        first = 0 if self.start == 0 else self.start + self.window - 1
        return last if last >= first else 0

    def first(self, length: int) -> "WindowSnapshot":
        """The snapshot without the keys and values from position `length` on.

        Sequences that share a prefix share a snapshot up to the end of that prefix, no further:

            snapshot at 9, start 5, of tokens   a b c d e f g h i
            a prompt with the first 7 of them   a b c d e f g x y   takes positions 5 6
        """
        if length >= self.position:
            return self
        num_kept = length - self.start
        layers = tuple((k[:, :, :num_kept], v[:, :, :num_kept]) for k, v in self.layers)
        return WindowSnapshot(length, self.start, self.window, layers)
