"""What a row holds in arrays of its own: kept when the row has gone, and given to another."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from msgspec import Struct

from concordance_inference.engine.caches.recurrent import StateRef
from concordance_inference.engine.caches.windows import KeysValues, WindowSnapshot


class Segment(Struct, frozen=True, eq=False):
    """Keys and values of some consecutive tokens, of every layer that looks all the way back."""

    layers: tuple[KeysValues, ...]

    @property
    def num_bytes(self) -> int:
        """What it takes, in bytes."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)

    def split(self, num_tokens: int) -> tuple["Segment", "Segment"]:
        """The first `num_tokens` tokens' part and the rest, each in arrays of its own."""
        parts = (
            Segment(tuple(_cut(layer, slice(num_tokens)) for layer in self.layers)),
            Segment(tuple(_cut(layer, slice(num_tokens, None)) for layer in self.layers)),
        )
        mx.async_eval([part.layers for part in parts])
        return parts

    def first(self, num_tokens: int) -> Sequence[KeysValues]:
        """The first tokens' keys and values, layer by layer."""
        return [
            (keys[:, :, :num_tokens], values[:, :, :num_tokens]) for keys, values in self.layers
        ]


class Snapshot(Struct, frozen=True, eq=False):
    """What a row held at a position, of the layers that cannot be cut there.

    Sliding windows, recurrent states, and caches of unknown kinds.
    """

    position: int  # how many tokens stand before
    windows: tuple[WindowSnapshot, ...] = ()
    states: StateRef | None = None
    foreign: Any = None  # mlx-lm's own caches of one row

    @property
    def num_bytes(self) -> int:
        """What it takes, in bytes."""
        states = self.states.arrays() if self.states else []
        return sum(w.num_bytes for w in self.windows) + sum(
            array.nbytes for array in [*states, *_arrays(self.foreign)]
        )

    def reach(self, length: int) -> int:
        """The longest beginning, of at most `length` tokens, that can go on from it; 0 for none."""
        if self.states or self.foreign:
            return self.position if self.position <= length else 0
        return min((window.reach(length) for window in self.windows), default=length)


def _cut(layer: KeysValues, span: slice) -> KeysValues:
    keys, values = layer
    return mx.contiguous(keys[:, :, span]), mx.contiguous(values[:, :, span])


def _arrays(caches: Any) -> list[mx.array]:
    leaves: Any = tree_flatten([cache.state for cache in caches or ()])
    return [leaf for _, leaf in leaves if isinstance(leaf, mx.array)]
