"""Where the keys of one forward pass go, and who may look at whom."""

from collections.abc import Sequence

import mlx.core as mx
from mlx_lm.models.base import create_causal_mask

#: `None` where every key is visible, "causal", or an array, true where a query may look.
Mask = mx.array | str | None

#: Rows, heads and positions of a buffer.
Indices = tuple[mx.array, mx.array, mx.array]


class Geometry:
    """Where the keys of one forward pass go, and who may look at whom."""

    def __init__(
        self,
        rows: slice,
        lengths: Sequence[int],
        starts: Sequence[int],
        num_tokens: int,
        window: int | None,
    ) -> None:
        """Lay out a pass.

        Args:
            rows: The neighbouring rows that it covers.
            lengths: How many tokens each of them holds.
            starts: The position of each one's first key.
            num_tokens: How many tokens each of them reads.
            window: How many positions a query sees; `None` for all.
        """
        self.rows, self.num_tokens, self._window = rows, num_tokens, window
        held = [n - start for n, start in zip(lengths, starts, strict=True)]
        self.is_uniform = len({*zip(lengths, starts, strict=True)}) <= 1
        end = max(held, default=0) + num_tokens
        self.write_from = held[0] if held else 0  # where, if every row writes at the same place
        self.write_at: mx.array | None = None  # (rows, tokens) int32: where, if they do not
        first = 0  # of the keys that are looked at
        if self.is_uniform:
            self.offset: int | mx.array = lengths[0] if lengths else 0
            first = 0 if window is None else max(0, end - (window - 1) - num_tokens)
        else:
            self.offset = mx.array(list(lengths), mx.int32)
            # Lists, not numpy: the first ufunc of a step costs 100 us, since the pass has put its
            # code out of the processor's cache.
            at = [list(range(start, start + num_tokens)) for start in held]
            self.write_at = mx.array(at, mx.int32)
        self.visible = slice(first, end)
        self.first_position = starts[0] + first if starts else 0
        self._masks: dict[tuple[int | None, bool], Mask] = {}
        self._indices: dict[int, Indices] = {}

    def indices(self, num_heads: int) -> Indices:
        """Return where rows that differ write, as indices that broadcast to each other.

        Built once per pass, of one integer type: were a slice among them, mlx would build and
        convert the indices again in every layer, with ten more kernels.

        Args:
            num_heads: Heads of the buffer that is written to.

        Returns:
            Rows (rows, 1, 1), heads (1, heads, 1) and positions (rows, 1, tokens), int32 each.
        """
        if num_heads not in self._indices:
            assert self.write_at is not None
            rows = mx.array(list(range(self.rows.start, self.rows.stop)), mx.int32)
            heads = mx.array(list(range(num_heads)), mx.int32)
            at = self.write_at[:, None]
            self._indices[num_heads] = (rows[:, None, None], heads[None, :, None], at)
        return self._indices[num_heads]

    def mask(self, window: int | None, *, as_array: bool) -> Mask:
        """Who may look at whom in this pass, in the form that mlx-lm's attention takes.

        Args:
            window: A window narrower than the group's own, from the model.
            as_array: Whether the model wants an array even where a word would do.

        Returns:
            `None` where every key is visible, "causal", or an array, true where a query may look:
            (tokens, keys) bool, or (rows, 1, tokens, keys) where rows differ.
        """
        key = (window, as_array)
        if key not in self._masks:
            make = self._uniform_mask if self.is_uniform else self._ragged_mask
            self._masks[key] = make(window or self._window, as_array=as_array)
        return self._masks[key]

    def _uniform_mask(self, window: int | None, *, as_array: bool) -> Mask:
        num_keys = self.visible.stop - self.visible.start
        sees_all = window is None or num_keys <= window
        if sees_all and self.num_tokens == 1:
            return None
        if sees_all and not as_array:
            return "causal"
        past = num_keys - self.num_tokens
        return create_causal_mask(self.num_tokens, past, window_size=window)

    def _ragged_mask(self, window: int | None, *, as_array: bool) -> Mask:  # noqa: ARG002
        assert self.write_at is not None
        query = self.write_at[:, None, :, None]  # (rows, 1, tokens, 1)
        key = mx.arange(self.visible.stop)  # (keys,)
        seen = key <= query
        return seen if window is None else seen & (key > query - window)
