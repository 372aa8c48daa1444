"""Keys and values of a batch whose rows have different lengths.

The cache keeps no lengths of its own. Each forward pass is told how many tokens each row holds;
it writes behind them and masks by them, so that taking tokens back is a smaller number given next
time. What stands behind a row's length is stale, masked, and covered by the next write.

Nothing here is specific to a model: mlx-lm's attention layers call `update_and_fetch`, read
`offset` for their rotary embedding, and ask for a mask.
"""

from collections.abc import Sequence

import mlx.core as mx

from concordance_inference.engine.caches import buffers
from concordance_inference.engine.caches.budget import num_slots
from concordance_inference.engine.caches.geometry import Geometry, Mask
from concordance_inference.engine.caches.windows import KeysValues, WindowSnapshot
from concordance_inference.engine.model.device import default_chunk, resize_bytes
from concordance_inference.engine.plan import Pass

#: Buffers grow by at least this many positions.
GROWTH = 256

#: So many tokens before rows reach the end of the buffers, growing them begins; earlier, the longer
#: it takes.
_AHEAD = 8

#: How many tokens behind its window a sliding layer keeps, so that as many can be taken back.
MARGIN = 128

#: The same for a snapshot: chat templates write the last few tokens of a prompt otherwise when the
#: answer stands behind it.
SNAPSHOT_MARGIN = 32

#: Windowed buffers are counted as if no pass read more tokens at once, or than a chunk has.
_LONGEST_READ = 512


def rounded(num_positions: int) -> int:
    """For how many positions a buffer has room that is to have room for so many."""
    return -(-num_positions // GROWTH) * GROWTH


class AttentionGroup:
    """All layers of a model that look back equally far, and the geometry that they share.

    `window` is how many positions a query sees, itself among them; `None` for all. A windowed
    group drops what no query can see any more, but for a margin: each row then begins at a
    position of its own, `starts[row]`.

        window 4, margin 2, one row of 9 tokens:   keys of positions  4 5 6 7 8,  start = 4
        going back by up to 2 is a subtraction; going further takes a snapshot, or reading anew
    """

    def __init__(self, *, window: int | None = None, margin: int = MARGIN) -> None:
        """Make the group, without layers and rows.

        Args:
            window: How many positions a query sees; `None` for all.
            margin: How many more positions a windowed group keeps.
        """
        self.window = window
        self.is_chunked = False  # the layers attend in chunks, and mask them themselves
        self.layers: list[AttentionCache] = []
        self.num_rows = 0
        self.num_slots = 0  # rows that the buffers have room for
        self.capacity = 0  # positions that they have room for
        self._margin = margin
        self._is_narrowed = False
        self._target = (0, 0)  # slots and capacity that layers are resized to
        self._is_resizing = False  # some layers do not have that size yet
        self._longest = 0  # how many tokens a row can grow to
        self._starts: list[int] = []  # per row: the position of its first key
        self._pins: list[set[int]] = []  # per row: positions to be able to go back to
        self._snapshots: list[dict[int, WindowSnapshot]] = []  # per row, by position
        self.geometry = Geometry(slice(0, 0), (), (), 0, window)

    def add_layer(self) -> "AttentionCache":
        """The cache of one more layer."""
        self.layers.append(AttentionCache(self))
        return self.layers[-1]

    def asked_window(self, window: int | None) -> int | None:
        """The window to mask with where the model asks for one; a group keeps the widest.

        Some models mask with a wider window than their cache keeps (plamo3: one position more).

        Args:
            window: How many positions a query sees, as the model asks; `None` if it does not say.

        Raises:
            RuntimeError: It is wider than any window before, and positions were dropped already.
        """
        if window is None or self.window is None:
            return window
        if self._is_narrowed:
            return min(window, self.window)
        if window > self.window:
            if any(self._starts):
                raise RuntimeError(
                    f"the model masks with a window of {window} positions after others were "
                    f"dropped for a window of {self.window}"
                )
            self.window = window
        return window

    def narrow(self, window: int) -> None:
        """Mask with a narrower window than the model asks for, so that a trial gets past it."""
        assert self.window is not None
        self.window, self._is_narrowed = min(window, self.window), True

    def spoil(self, row: int, length: int) -> None:
        """Put noise behind the first `length` tokens of a row, as stale keys and values are.

        For trials: in new buffers, what must not be seen is zero and makes hardly any difference.
        """
        at = length - self._starts[row]
        for layer in self.layers:
            if arrays := layer.arrays():
                layer.write(row, at, *(_noise_like(array[:1, :, at:]) for array in arrays))

    @property
    def num_bytes(self) -> int:
        """What the buffers take, in bytes."""
        return sum(array.nbytes for array in self.arrays())

    @property
    def position_bytes(self) -> int:
        """What one position of one row takes, in bytes; known after the first pass."""
        return self.num_bytes // max(1, self.num_slots * self.capacity)

    @property
    def window_bytes(self) -> int:
        """What each row that a windowed group has room for takes at most, in bytes."""
        assert self.window is not None
        return self.position_bytes * rounded(
            self.window + self._margin + max(_LONGEST_READ, default_chunk())
        )

    @property
    def snapshot_bytes(self) -> int:
        """What a snapshot of a windowed row takes, in bytes."""
        assert self.window is not None
        return self.position_bytes * (self.window + SNAPSHOT_MARGIN)

    def arrays(self) -> list[mx.array]:
        """Every array that a forward pass writes."""
        return [array for layer in self.layers for array in layer.arrays()]

    # Rows

    def rebuild(self, keep: Sequence[int], num_new: int, longest: int) -> None:
        """Make the rows `keep`, in that order, and `num_new` empty ones behind them the batch.

        A row that is kept stays where it is or moves to the front, which is a copy of that row.

        Args:
            keep: The rows that stay.
            num_new: How many rows are added.
            longest: How many tokens any row can grow to.
        """
        for to, row in enumerate(keep):
            assert to <= row
            if to != row and self.capacity:
                self._move(row, to)
        self._starts = [self._starts[row] for row in keep] + [0] * num_new
        self._pins = [self._pins[row] for row in keep] + [set() for _ in range(num_new)]
        self._snapshots = [self._snapshots[row] for row in keep] + [{} for _ in range(num_new)]
        self.num_rows = len(self._starts)
        self._longest = longest
        self._fit()

    def _move(self, row: int, to: int) -> None:
        if any(layer.keys is not None for layer in self.layers):
            for layer, copied in zip(self.layers, self.read(row, slice(None)), strict=True):
                layer.write(to, 0, *copied)
            self.clean(row)

    def _fit(self) -> None:
        """Have room for the rows, and not for many more or longer ones than can be.

        Room for rows that have gone is kept as long as it takes no more than a growing batch may
        take. What is given back is given back little by little, unless it is everything.
        """
        slots, capacity = num_slots(self.num_rows), self.capacity if self.num_rows else 0
        if self.window is None:
            capacity = min(capacity, rounded(self._longest))
        if slots > self.num_slots or not slots:
            self._resize(slots, capacity)
        elif 4 * slots <= self.num_slots or capacity < self.capacity:
            self._aim(slots, capacity)

    def _resize(self, slots: int, capacity: int) -> None:
        """Give every layer buffers of another size, one layer after the other.

        Launched together, all old buffers would live beside all new ones until the device is done:
        twice the memory of the caches.
        """
        self.num_slots, self.capacity = self._target = slots, capacity
        self._is_resizing = False
        for layer in self.layers:
            layer.resize(slots, capacity)
            mx.eval(layer.arrays())

    def _aim(self, slots: int, capacity: int) -> None:
        """Begin to resize the layers. What any of them may lose is not promised any more."""
        self._target = slots, capacity
        self.num_slots = min(self.num_slots, slots)
        self.capacity = min(self.capacity, capacity)
        self._resize_some()

    def _resize_some(self) -> None:
        """Resize the next layers towards the target, by as many bytes as a step has time for.

        Memory that is touched for the first time costs 0.4 ms a megabyte on a CPU: 0.8 s for two
        rows of 8,192 tokens of a small model, in which no row would get a token. Until every layer
        has its new size, `num_slots` and `capacity` are what all of them have room for.
        """
        left, self._is_resizing = resize_bytes(), True
        for layer in self.layers:
            if left <= 0:
                return
            if not layer.has_size(*self._target):
                layer.resize(*self._target)
                mx.async_eval(layer.arrays())
                left -= sum(array.nbytes for array in layer.arrays())
        self.num_slots, self.capacity = self._target
        self._is_resizing = False

    def prepare(self, num_rows: int, length: int) -> bool:
        """Get nearer to having room for so many rows of so many tokens; return whether there is.

        Called once a step until it returns true, so that the rows that run go on meanwhile.
        """
        slots, capacity = num_slots(num_rows), self.capacity
        if self.window is None and length > capacity:
            capacity = rounded(length)
        else:
            slots = max(slots, self.num_slots)
        if (slots, capacity) != (self.num_slots, self.capacity):
            self._aim(slots, capacity)
        return (self.num_slots, self.capacity) == (slots, capacity)

    def clean(self, row: int) -> None:
        """Put zeros in place of what a row holds."""
        for layer in self.layers:
            layer.clean(row)

    def pin(self, row: int, positions: Sequence[int]) -> None:
        """Be able to go back to some positions of a row, however long ago they were reached."""
        if self.window is not None:
            self._pins[row].update(positions)

    def reach(self, row: int, length: int) -> int:
        """The longest beginning of a row, of at most `length` tokens, that can be gone back to."""
        if self._holds(row, length):
            return length
        return max([0, *(kept.reach(length) for kept in self._snapshots[row].values())])

    def rewind(self, row: int, length: int) -> None:
        """Go back to a length that `reach` gave."""
        if self.window is None:
            return
        if not self._holds(row, length):
            kept = (s for s in self._snapshots[row].values() if s.reach(length) == length)
            snapshot = next(kept, None)
            self._starts[row] = 0 if snapshot is None else self._put_back(row, snapshot)
        usable = [s.first(length) for s in self._snapshots[row].values() if s.reach(length)]
        self._snapshots[row] = {snapshot.position: snapshot for snapshot in usable}

    def _holds(self, row: int, length: int) -> bool:
        """Whether a row can go on as if it held only its first `length` tokens."""
        start = self._starts[row]
        return self.window is None or start == 0 or length - start >= self.window - 1

    # Windows

    def snapshot(self, row: int, position: int) -> WindowSnapshot | None:
        """What a windowed row needs to go on from a position, in arrays of its own."""
        assert self.window is not None
        if position in self._snapshots[row]:
            return self._snapshots[row][position]
        if not self._holds(row, position):
            return None
        margin = min(self._margin, SNAPSHOT_MARGIN)
        start = max(self._starts[row], position - (self.window - 1) - margin)
        span = slice(start - self._starts[row], position - self._starts[row])
        layers = tuple(self.read(row, span))
        return WindowSnapshot(position, start, self.window, layers)

    def _put_back(self, row: int, snapshot: WindowSnapshot) -> int:
        """Write a snapshot into a row's buffers; return the position of its first key."""
        self.reserve(snapshot.position - snapshot.start)
        for layer, (keys, values) in zip(self.layers, snapshot.layers, strict=True):
            layer.write(row, 0, keys, values)
        return snapshot.start

    def restore(self, row: int, snapshot: WindowSnapshot) -> None:
        """Make an empty row hold what was held elsewhere after the same tokens.

        The snapshot must not extend past the tokens that both rows have in common: it becomes the
        row's own, which later rewinds resume from and the prefix cache keeps.
        """
        self._starts[row] = self._put_back(row, snapshot)
        self._snapshots[row][snapshot.position] = snapshot

    # Beginnings of rows, for groups without a window

    def read(self, row: int, span: slice) -> list[KeysValues]:
        """A row's keys and values at some positions, in arrays of their own, layer by layer."""
        copies = [layer.read(row, span) for layer in self.layers]
        mx.async_eval(copies)  # so that nothing refers to the buffers when they are written next
        return copies

    def write(self, row: int, position: int, layers: Sequence[KeysValues]) -> None:
        """Put keys and values into a row, as `read` gave them."""
        self.reserve(position + layers[0][0].shape[2])
        for layer, (keys, values) in zip(self.layers, layers, strict=True):
            layer.write(row, position, keys, values)

    def reserve(self, length: int) -> None:
        """Have room for rows of so many tokens."""
        if length > self.capacity:
            self._grow(length)

    # The forward pass

    def begin(self, pass_: Pass) -> None:
        """Prepare a forward pass."""
        rows, lengths = pass_.rows, pass_.starts
        self._make_room(rows, lengths, pass_.num_tokens)
        starts = tuple(self._starts[rows])
        self.geometry = Geometry(rows, lengths, starts, pass_.num_tokens, self.window)

    def _make_room(self, rows: slice, lengths: Sequence[int], num_tokens: int) -> None:
        """Drop what no query of these rows can see any more, then grow, if there is no room."""
        end = self._end(rows, lengths, num_tokens)
        if end <= self.capacity:
            self._look_ahead(end)
            return
        if self.window is not None:
            self._drop_old(rows, lengths)
        self.reserve(self._end(rows, lengths, num_tokens))

    def _end(self, rows: slice, lengths: Sequence[int], num_tokens: int) -> int:
        starts = self._starts[rows]
        return max(n - start for n, start in zip(lengths, starts, strict=True)) + num_tokens

    def _look_ahead(self, end: int) -> None:
        """Resize some layers, if a resize is under way or rows will soon have no room.

        A row that decodes reaches the end one token at a time: what is begun so many steps before
        is done when it does.
        """
        if self._is_resizing:
            self._resize_some()
        elif self.window is None and self.capacity < rounded(self._longest):
            slots, grown = num_slots(self.num_rows), self._grown(self.capacity + 1)
            num_steps = self.position_bytes * slots * grown // resize_bytes()
            if end + 2 * num_steps + _AHEAD > self.capacity:
                self._aim(slots, grown)

    def _grow(self, end: int) -> None:
        self._resize(num_slots(self.num_rows), self._grown(end))

    def _grown(self, end: int) -> int:
        """The capacity for `end` positions, and for some more the longer the rows are."""
        more = 0 if self.window else self.capacity // 8
        return max(rounded(end), min(rounded(end + more), rounded(self._longest)))

    def _drop_old(self, rows: slice, lengths: Sequence[int]) -> None:
        assert self.window is not None
        keep = self.window - 1 + self._margin
        starts = self._starts[rows]
        shifts = [max(0, n - keep - start) for n, start in zip(lengths, starts, strict=True)]
        for row, length, shift in zip(range(rows.start, rows.stop), lengths, shifts, strict=True):
            if shift:
                self._keep_pinned(row, length)
        if any(shifts):
            for layer in self.layers:
                layer.shift(rows, shifts)
            self._starts[rows] = [a + b for a, b in zip(starts, shifts, strict=True)]

    def _keep_pinned(self, row: int, length: int) -> None:
        """Take snapshots of what a row is about to lose and was asked to keep."""
        for position in sorted(self._pins[row]):
            if position <= length and (kept := self.snapshot(row, position)):
                self._snapshots[row][position] = kept


def _noise_like(array: mx.array) -> mx.array:
    noise = 10 * mx.random.normal(array.shape, key=mx.random.key(0))
    return noise.astype(array.dtype)


class AttentionCache:
    """One layer's keys and values, with the face of a cache of mlx-lm."""

    def __init__(self, group: AttentionGroup) -> None:
        """Make an empty cache whose geometry is the group's."""
        self._group = group
        self.keys: mx.array | None = None  # (slots, kv_heads, capacity, head_dim)
        self.values: mx.array | None = None

    @property
    def offset(self) -> int | mx.array:
        """How many tokens were read before: an int, or (rows,) int32 where rows differ."""
        return self._group.geometry.offset

    @property
    def start_position(self) -> int:
        """The position of the first key that is looked at, for mlx-lm's chunked attention."""
        return self._group.geometry.first_position

    def maybe_trim_front(self) -> None:
        """Nothing: the group drops what is too old before the pass begins."""

    def make_mask(
        self,
        N: int,  # noqa: ARG002, N803  # the name that mlx-lm's models use
        return_array: bool = False,  # noqa: FBT001, FBT002
        window_size: int | None = None,
    ) -> Mask:
        """The mask of this pass; see `Geometry.mask`."""
        window = self._group.asked_window(window_size)
        return self._group.geometry.mask(window, as_array=return_array)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Write this pass's keys and values; return all that its queries may look at.

        Args:
            keys: (rows, kv_heads, tokens, head_dim)
            values: the same, with a head_dim of their own
        """
        self.keys = self._written(self.keys, keys)
        self.values = self._written(self.values, values)
        return self.keys_and_values()

    def keys_and_values(self) -> tuple[mx.array, mx.array]:
        """What the queries of this pass may look at.  (rows, kv_heads, keys, head_dim)"""
        assert self.keys is not None and self.values is not None  # noqa: PT018
        rows, visible = self._group.geometry.rows, self._group.geometry.visible
        return self.keys[rows, :, visible], self.values[rows, :, visible]

    def _written(self, buffer: mx.array | None, new: mx.array) -> mx.array:
        group = self._group
        if buffer is None:
            buffer = buffers.like(new, group.num_slots, group.capacity)
        geometry = group.geometry
        if geometry.write_at is None:
            return buffers.write_rows(buffer, geometry.rows, geometry.write_from, new)
        if new.shape[0] == buffer.shape[0]:
            return buffers.write_all_ragged(buffer, geometry.write_at, new)
        return buffers.write_ragged(buffer, geometry.indices(new.shape[1]), new)

    # What the group does to it between passes

    def arrays(self) -> list[mx.array]:
        """What it holds."""
        return [array for array in (self.keys, self.values) if array is not None]

    def has_size(self, num_slots: int, capacity: int) -> bool:
        """Whether it has room for exactly so many rows and positions, or holds nothing yet."""
        sizes = {(array.shape[0], array.shape[2]) for array in self.arrays()}
        return sizes <= {(num_slots, capacity)}

    def resize(self, num_slots: int, capacity: int) -> None:
        """Have room for so many rows and positions; for none, hold nothing."""
        self.keys = buffers.resized(self.keys, num_slots, capacity)
        self.values = buffers.resized(self.values, num_slots, capacity)

    def shift(self, rows: slice, shifts: Sequence[int]) -> None:
        """Move each row's keys and values towards the front by its shift."""
        self.keys = buffers.shifted(self.keys, rows, shifts)
        self.values = buffers.shifted(self.values, rows, shifts)

    def clean(self, row: int) -> None:
        """Put zeros in place of a row's keys and values."""
        for array in self.arrays():
            array[row] = 0

    def read(self, row: int, span: slice) -> KeysValues:
        """A row's keys and values in arrays of their own.  (1, kv_heads, positions, head_dim)

        Of a layer that the model does not write (nemotron-nas makes caches for layers without
        attention), one zero for each position stands in their place.
        """
        if self.keys is None or self.values is None:
            nothing = mx.zeros((1, 1, len(range(self._group.capacity)[span]), 1))
            return nothing, nothing
        return (
            mx.contiguous(self.keys[row : row + 1, :, span]),
            mx.contiguous(self.values[row : row + 1, :, span]),
        )

    def write(self, row: int, position: int, keys: mx.array, values: mx.array) -> None:
        """Put keys and values into one row, outside of a pass."""
        group, rows = self._group, slice(row, row + 1)
        if self.keys is None or self.values is None:
            self.keys = buffers.like(keys, group.num_slots, group.capacity)
            self.values = buffers.like(values, group.num_slots, group.capacity)
        self.keys = buffers.write_rows(self.keys, rows, position, keys)
        self.values = buffers.write_rows(self.values, rows, position, values)
