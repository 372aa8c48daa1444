"""Keys and values of a batch whose rows have different lengths.

The cache keeps no lengths of its own. Each forward pass is told how many tokens each row's cache
holds; it writes behind them and masks by them, so that taking tokens back is a smaller number
given next time. What stands behind a row's length is stale, masked, and covered by the next write.

Nothing here is specific to a model: mlx-lm's attention layers call `update_and_fetch`, read
`offset` for their rotary embedding, and ask for a mask.
"""

from collections.abc import Sequence

import mlx.core as mx
from mlx_lm.models.base import create_causal_mask

#: Buffers grow by this many positions.
GROWTH = 256

#: How many tokens behind its window a sliding layer keeps, so that as many can be taken back.
MARGIN = 128


class AttentionGroup:
    """All layers of a model that look back equally far, and the geometry that they share.

    `window` is how many positions a query sees, itself among them; `None` for all. A windowed
    group drops what no query can see any more, but for a margin: each row then begins at a
    position of its own, `starts[row]`.

        window 4, margin 2, one row of 9 tokens:   keys of positions  4 5 6 7 8,  start = 4
        going back by up to 2 is a subtraction; going further must re-read from the beginning
    """

    def __init__(self, num_layers: int, *, window: int | None = None, margin: int = MARGIN) -> None:
        """Make the group, without rows.

        Args:
            num_layers: How many layers share the geometry.
            window: How many positions a query sees; `None` for all.
            margin: How many more positions a windowed group keeps.
        """
        self.window = window
        self.layers = [AttentionCache(self) for _ in range(num_layers)]
        self.num_rows = 0
        self.capacity = 0  # positions that the buffers have room for
        self._margin = margin
        self._starts: list[int] = []  # per row: the position of its first key
        # The forward pass under way:
        self.rows = slice(0, 0)
        self.offset: int | mx.array = 0  # (rows,) int32 where rows differ: positions read before
        self.is_uniform = True  # all rows write at the same place
        self.write_from = 0  # where, in a uniform pass
        self.write_at: mx.array | None = None  # (rows, 1, tokens, 1) int32: where, in a ragged one
        self.visible = slice(0, 0)  # the part of the buffers that is looked at
        self._lengths: list[int] = []  # per row of the pass: keys it holds, from its start
        self._num_tokens = 0
        self._masks: dict[tuple[int | None, bool], mx.array | str | None] = {}

    def can_reach(self, row: int, length: int) -> bool:
        """Whether a row can go on as if it held only its first `length` tokens."""
        start = self._starts[row]
        return self.window is None or start == 0 or length - start >= self.window - 1

    def reset(self, row: int) -> None:
        """Forget what a row holds."""
        self._starts[row] = 0

    def rebuild(self, keep: Sequence[int], num_new: int) -> None:
        """Make the rows `keep`, in that order, and `num_new` empty ones behind them the batch."""
        self._starts = [self._starts[row] for row in keep] + [0] * num_new
        if not keep:
            self.capacity = 0
        for layer in self.layers:
            layer.rebuild(keep, num_new, self.num_rows)
        self.num_rows = len(self._starts)

    def writes_at_one_place(self, rows: slice, lengths: Sequence[int]) -> bool:
        """Whether these rows hold equally many tokens, in the same place.

        Args:
            rows: Some neighbouring rows.
            lengths: How many tokens each row of the batch holds.
        """
        return len({*zip(lengths[rows], self._starts[rows], strict=True)}) == 1

    def begin(self, rows: slice, lengths: Sequence[int], num_tokens: int) -> None:
        """Prepare a forward pass.

        Args:
            rows: The neighbouring rows that read: all of them, unless they write at one place.
            lengths: How many tokens each of them holds.
            num_tokens: How many tokens each of them reads.
        """
        self.rows, self._num_tokens = rows, num_tokens
        self._make_room(rows, lengths, num_tokens)
        starts = self._starts[rows]
        self._lengths = [n - start for n, start in zip(lengths, starts, strict=True)]
        self.is_uniform = len({*zip(lengths, starts, strict=True)}) == 1
        self._masks.clear()
        end = max(self._lengths) + num_tokens
        if self.is_uniform:
            self.offset = lengths[0]
            self.write_from = self._lengths[0]
            first = 0 if self.window is None else max(0, end - (self.window - 1) - num_tokens)
            self.visible = slice(first, end)
        else:
            self.offset = mx.array(list(lengths), mx.int32)
            at = mx.array(self._lengths, mx.int32)[:, None] + mx.arange(num_tokens)
            self.write_at = at[:, None, :, None]
            self.visible = slice(0, end)

    def mask(self, window: int | None, *, as_array: bool) -> mx.array | str | None:
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
            window = window or self.window
            make = self._uniform_mask if self.is_uniform else self._ragged_mask
            self._masks[key] = make(window, as_array=as_array)
        return self._masks[key]

    def _uniform_mask(self, window: int | None, *, as_array: bool) -> mx.array | str | None:
        num_keys = self.visible.stop - self.visible.start
        sees_all = window is None or num_keys <= window
        if sees_all and not as_array:
            return "causal" if self._num_tokens > 1 else None
        past = num_keys - self._num_tokens
        return create_causal_mask(self._num_tokens, past, window_size=window)

    def _ragged_mask(self, window: int | None, *, as_array: bool) -> mx.array:  # noqa: ARG002
        assert self.write_at is not None
        query = self.write_at  # (rows, 1, tokens, 1)
        key = mx.arange(self.visible.stop)  # (keys,)
        seen = key <= query
        return seen if window is None else seen & (key > query - window)

    def _make_room(self, rows: slice, lengths: Sequence[int], num_tokens: int) -> None:
        """Drop what no query of these rows can see any more, then grow, if there is no room."""
        if self._end(rows, lengths, num_tokens) <= self.capacity:
            return
        if self.window is not None:
            self._drop_old(rows, lengths)
        end = self._end(rows, lengths, num_tokens)
        if end > self.capacity:
            self.capacity = -(-end // GROWTH) * GROWTH
            for layer in self.layers:
                layer.grow(self.capacity)

    def _end(self, rows: slice, lengths: Sequence[int], num_tokens: int) -> int:
        starts = self._starts[rows]
        return max(n - start for n, start in zip(lengths, starts, strict=True)) + num_tokens

    def _drop_old(self, rows: slice, lengths: Sequence[int]) -> None:
        assert self.window is not None
        keep = self.window - 1 + self._margin
        starts = self._starts[rows]
        shifts = [max(0, n - keep - start) for n, start in zip(lengths, starts, strict=True)]
        if any(shifts):
            for layer in self.layers:
                layer.shift(rows, shifts)
            self._starts[rows] = [a + b for a, b in zip(starts, shifts, strict=True)]


class AttentionCache:
    """One layer's keys and values, with the face of a cache of mlx-lm."""

    def __init__(self, group: AttentionGroup) -> None:
        """Make an empty cache whose geometry is the group's."""
        self._group = group
        self.keys: mx.array | None = None  # (rows, kv_heads, capacity, head_dim)
        self.values: mx.array | None = None

    @property
    def offset(self) -> int | mx.array:
        """How many tokens were read before: an int, or (rows,) int32 where rows differ."""
        return self._group.offset

    def make_mask(
        self,
        N: int,  # noqa: ARG002, N803  # the name that mlx-lm's models use
        return_array: bool = False,  # noqa: FBT001, FBT002
        window_size: int | None = None,
    ) -> mx.array | str | None:
        """The mask of this pass; see `AttentionGroup.mask`."""
        return self._group.mask(window_size, as_array=return_array)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Write this pass's keys and values; return all that its queries may look at.

        Args:
            keys: (rows, kv_heads, tokens, head_dim)
            values: the same, with a head_dim of their own
        """
        self.keys = self._write(self.keys, keys)
        self.values = self._write(self.values, values)
        return self.keys_and_values()

    def keys_and_values(self) -> tuple[mx.array, mx.array]:
        """What the queries of this pass may look at.  (rows, kv_heads, keys, head_dim)"""
        assert self.keys is not None and self.values is not None  # noqa: PT018
        rows, visible = self._group.rows, self._group.visible
        return self.keys[rows, :, visible], self.values[rows, :, visible]

    def _write(self, buffer: mx.array | None, new: mx.array) -> mx.array:
        group = self._group
        if buffer is None:
            _, heads, _, head_dim = new.shape
            buffer = mx.zeros((group.num_rows, heads, group.capacity, head_dim), new.dtype)
        if group.is_uniform:
            end = group.write_from + new.shape[2]
            buffer[group.rows, :, group.write_from : end] = new
            return buffer
        assert group.write_at is not None
        return mx.put_along_axis(buffer, mx.broadcast_to(group.write_at, new.shape), new, axis=2)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` positions in all."""
        self.keys = _padded(self.keys, capacity)
        self.values = _padded(self.values, capacity)

    def shift(self, rows: slice, shifts: Sequence[int]) -> None:
        """Move each row's keys and values towards the front by its shift."""
        self.keys = _shifted(self.keys, rows, shifts)
        self.values = _shifted(self.values, rows, shifts)

    def rebuild(self, keep: Sequence[int], num_new: int, num_old: int) -> None:
        """Keep these rows, in this order, and add empty ones behind them."""
        self.keys = _rebuilt(self.keys, keep, num_new, num_old)
        self.values = _rebuilt(self.values, keep, num_new, num_old)


def _padded(buffer: mx.array | None, capacity: int) -> mx.array | None:
    if buffer is None:
        return None
    rows, heads, held, head_dim = buffer.shape
    blank = mx.zeros((rows, heads, capacity - held, head_dim), buffer.dtype)
    return mx.concatenate([buffer, blank], axis=2)


def _shifted(buffer: mx.array | None, rows: slice, shifts: Sequence[int]) -> mx.array | None:
    if buffer is None:
        return None
    last = buffer.shape[2] - 1
    source = mx.minimum(mx.arange(buffer.shape[2]) + mx.array(list(shifts))[:, None], last)
    moved = mx.take_along_axis(buffer[rows], source[:, None, :, None], axis=2)
    buffer[rows] = moved
    return buffer


def _rebuilt(
    buffer: mx.array | None, keep: Sequence[int], num_new: int, num_old: int
) -> mx.array | None:
    if buffer is None or not keep:
        return None
    if list(keep) != list(range(num_old)):
        buffer = buffer[mx.array(list(keep))]
    if num_new:
        blank = mx.zeros((num_new, *buffer.shape[1:]), buffer.dtype)
        buffer = mx.concatenate([buffer, blank], axis=0)
    return buffer
