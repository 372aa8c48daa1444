"""The geometry of one forward pass: where its keys are written, and the attention mask."""

from collections.abc import Sequence

import mlx.core as mx
from mlx_lm.models.base import create_causal_mask

#: `None` if every key is visible, "causal", or an array that is true where a query may attend.
Mask = mx.array | str | None

#: Rows, heads and positions of a buffer.
Indices = tuple[mx.array, mx.array, mx.array]


class Geometry:
    """Where the keys of one forward pass are written, and which keys each query attends to.

    Two rows of 4 and 2 tokens process 2 tokens each, full attention:

        lengths 4 2      offset     4 2                   positions for the rotary embedding
        starts  0 0      write_at   4 5 | 2 3             differ: scattered writes
                         visible    0:6
        mask of row 1    1 1 1 0 0 0                      query at 2
                         1 1 1 1 0 0                      query at 3

    Rows of equal lengths and starts are uniform: the offset is a number, writes are one slice, and
    the mask is often none at all, all of which is faster.
    """

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
            rows: The neighbouring rows of the pass.
            lengths: Tokens that each of them holds.
            starts: The position of each one's first key.
            num_tokens: Tokens that each of them processes.
            window: Positions that a query attends to; `None` for all.
        """
        self.rows, self.num_tokens, self._window = rows, num_tokens, window
        held = [n - start for n, start in zip(lengths, starts, strict=True)]
        self.is_uniform = len({*zip(lengths, starts, strict=True)}) <= 1
        end = max(held, default=0) + num_tokens
        self.write_from = held[0] if held else 0  # where uniform rows write
        self.write_at: mx.array | None = None  # (rows, tokens) int32: where others do
        first = 0  # the first visible position of the buffer
        if self.is_uniform:
            self.offset: int | mx.array = lengths[0] if lengths else 0
            first = 0 if window is None else max(0, end - (window - 1) - num_tokens)
        else:
            self.offset = mx.array(list(lengths), mx.int32)
            # Lists, not numpy: the first ufunc of a step costs 100 us, since the pass has evicted
            # its code from the processor's cache.
            at = [list(range(start, start + num_tokens)) for start in held]
            self.write_at = mx.array(at, mx.int32)
        self.visible = slice(first, end)
        self.first_position = starts[0] + first if starts else 0
        self._masks: dict[tuple[int | None, bool], Mask] = {}
        self._indices: dict[int, Indices] = {}

    def indices(self, num_heads: int) -> Indices:
        """Return where rows that are not uniform write, as indices that broadcast to each other.

        Built once per pass, of one integer type: with a slice among them, mlx builds and converts
        indices in every layer again, which takes ten more kernels.

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
        """Return the mask of this pass, in the form that mlx-lm's attention takes.

        Args:
            window: A window narrower than the group's own, from the model.
            as_array: True to return an array instead of "causal".

        Returns:
            `None` if every key is visible, "causal", or an array that is true where a query may
            attend: (tokens, keys) bool, or (rows, 1, tokens, keys) where rows differ.
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
