"""Buffers for the keys and values of a group's layers, and their staged resizing."""

from collections.abc import Callable, Sequence

import mlx.core as mx

from concordance_inference.engine.caches import buffers
from concordance_inference.engine.caches.budget import num_slots
from concordance_inference.engine.caches.geometry import Geometry, Mask
from concordance_inference.engine.caches.group import KeysValues
from concordance_inference.engine.model.device import resize_bytes

#: The capacity of buffers is a multiple of this many positions.
GROWTH = 256

#: Growing starts at least this many tokens before a row reaches the end of the buffers.
_AHEAD = 8


def rounded(num_positions: int) -> int:
    """Round `num_positions` up to a multiple of `GROWTH`."""
    return -(-num_positions // GROWTH) * GROWTH


class KVBuffers:
    """Keys and values of a group's layers, in buffers of one size: slots x capacity positions.

    Memory that is touched for the first time costs 0.4 ms a megabyte on a CPU: 0.8 s for two rows
    of 8,192 tokens of a small model, in which no row would get a token. So a resize is staged: each
    step resizes a few layers, and until the last is done, callers may use the room that all layers
    have. From 512 to 768 positions, and from 768 to 256, with one layer a step:

                   layer 0   layer 1   layer 2      capacity
        step 1       768       512       512          512
        step 2       768       768       512          512
        step 3       768       768       768          768

        step 1       256       768       768          256
        step 2       256       256       768          256
        step 3       256       256       256          256

    So that decoding rows never wait for a resize, growing starts before they reach the end:

        0              510 at this length    768         1024
        |----- held -----|------ free -------|.. staged ...|
                         steps needed <= free positions, one token a step
    """

    def __init__(self, geometry: Geometry) -> None:
        """Make buffers without layers and rows; `geometry` is that of an empty pass."""
        self.geometry = geometry
        self.layers: list[AttentionCache] = []
        self.num_rows = 0
        self._num_held = 0  # rows of the batch that have slots
        self.num_slots = 0  # rows that every layer has room for
        self.capacity = 0  # positions that every layer has room for
        self._target = (0, 0)  # slots and capacity of the resize in progress, or of the last one
        self._is_resizing = False
        self._longest: int | None = 0

    def add_layer(self, mask_window: "MaskWindow") -> "AttentionCache":
        """Add the cache of a layer."""
        self.layers.append(AttentionCache(self, mask_window))
        return self.layers[-1]

    def arrays(self) -> list[mx.array]:
        """Return the buffers of all layers."""
        return [array for layer in self.layers for array in layer.arrays()]

    @property
    def position_bytes(self) -> int:
        """Bytes of one position of one row in all layers; known after the first pass."""
        num_bytes = sum(array.nbytes for array in self.arrays())
        return num_bytes // max(1, self.num_slots * self.capacity)

    # Size

    def fit(self, num_rows: int, longest: int | None) -> None:
        """Size the buffers for a batch: now if they are too small or empty, else in stages.

        Slots of rows that have left are kept while they take no more than the next growth of the
        batch would: growing and shrinking by turns would copy everything each time.

        Args:
            num_rows: Rows of the batch.
            longest: Tokens that any row can grow to; None if rows keep only a window.
        """
        self.num_rows, self._num_held, self._longest = num_rows, num_rows, longest
        slots, capacity = num_slots(num_rows), self.capacity if num_rows else 0
        if longest is not None:
            capacity = min(capacity, rounded(longest))
        if slots > self.num_slots or not slots:
            self._resize(slots, capacity)
        elif 4 * slots <= self.num_slots or capacity < self.capacity:
            self._start_resize(slots, capacity)

    def reserve(self, length: int) -> None:
        """Make room for rows of `length` positions now."""
        if length > self.capacity:
            self._resize(num_slots(self.num_rows), self._grown(length))

    def prepare(self, num_rows: int, length: int) -> bool:
        """Resize the next layers; return True once there is room for these rows.

        There is none as long as rows that stay are in slots that longer buffers would not have:

            row 0, ended    row 1, ended    row 2    row 3    row 4
            four rows with the next one, but row 4 has to move to a lower slot first
        """
        self.num_rows = max(self.num_rows, num_rows)
        slots, capacity = num_slots(num_rows), self.capacity
        if length > capacity:
            if slots < num_slots(self._num_held):
                return False
            capacity = rounded(length)
        else:
            slots = max(slots, self.num_slots)
        if (slots, capacity) != (self.num_slots, self.capacity):
            self._start_resize(slots, capacity)
        return (self.num_slots, self.capacity) == (slots, capacity)

    def advance(self, end: int) -> None:
        """Make room for a pass that writes up to position `end`, and continue or start a resize."""
        if end > self.capacity:
            self.reserve(end)
        elif self._is_resizing:
            self._resize_some()
        elif self._longest is not None and self.capacity < rounded(self._longest):
            slots, grown = num_slots(self.num_rows), self._grown(self.capacity + 1)
            num_steps = self.position_bytes * slots * grown // resize_bytes()
            if end + 2 * num_steps + _AHEAD > self.capacity:
                self._start_resize(slots, grown)

    def _grown(self, end: int) -> int:
        """The capacity for `end` positions: an eighth more than before, so growing is rare."""
        if self._longest is None:
            return rounded(end)
        more = self.capacity // 8
        return max(rounded(end), min(rounded(end + more), rounded(self._longest)))

    def _resize(self, slots: int, capacity: int) -> None:
        """Resize every layer now, one after the other.

        Launched together, all old buffers would be alive beside all new ones until the device is
        done: twice the memory of the caches.
        """
        self.num_slots, self.capacity = self._target = slots, capacity
        self._is_resizing = False
        for layer in self.layers:
            layer.resize(slots, capacity)
            mx.eval(layer.arrays())

    def _start_resize(self, slots: int, capacity: int) -> None:
        self._target = slots, capacity
        self.num_slots = min(self.num_slots, slots)
        self.capacity = min(self.capacity, capacity)
        self._resize_some()

    def _resize_some(self) -> None:
        """Resize the next layers, up to the number of bytes that a step has time for."""
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

    # Rows

    def move(self, keep: Sequence[int]) -> None:
        """Copy the rows `keep` to the slots 0, 1, ...; each has its slot or moves to a lower one.

        Lower slots first: a slot is free before a row is copied to it.
        """
        for to, row in enumerate(keep):
            assert to <= row
            if to != row and self.arrays():
                copies = self.read(row, slice(None))  # amid a resize, layers differ in capacity
                for layer, (keys, values) in zip(self.layers, copies, strict=True):
                    layer.write(to, 0, keys, values)
                self.clean(row)

    def clean(self, row: int) -> None:
        """Overwrite a row with zeros."""
        for layer in self.layers:
            for array in layer.arrays():
                array[row] = 0

    def read(self, row: int, span: slice) -> tuple[KeysValues, ...]:
        """Copy a row's keys and values at some positions, layer by layer."""
        copies = tuple(layer.read(row, span) for layer in self.layers)
        mx.async_eval(copies)  # or the next write would copy the buffers they still refer to
        return copies

    def write(self, row: int, position: int, layers: Sequence[KeysValues]) -> None:
        """Write keys and values, as `read` returns them, into a row from `position` on."""
        self.reserve(position + layers[0][0].shape[2])
        for layer, (keys, values) in zip(self.layers, layers, strict=True):
            layer.write(row, position, keys, values)

    def spoil(self, row: int, position: int) -> None:
        """Write noise into a row from `position` on."""
        for layer in self.layers:
            if arrays := layer.arrays():
                layer.write(row, position, *(_noise_like(a[:1, :, position:]) for a in arrays))


def _noise_like(array: mx.array) -> mx.array:
    noise = 10 * mx.random.normal(array.shape, key=mx.random.key(0))
    return noise.astype(array.dtype)


#: Takes the window that a model requests for a mask, returns the one to use; None: no window.
MaskWindow = Callable[[int | None], int | None]


class AttentionCache:
    """One layer's keys and values, with the interface of a cache of mlx-lm.

    Models also read and replace `keys` and `values`, so these are plain attributes.
    """

    def __init__(self, group: KVBuffers, mask_window: MaskWindow) -> None:
        """Make an empty cache.

        Args:
            group: Has the size and the geometry of its layers.
            mask_window: Chooses the window of a mask.
        """
        self._group = group
        self._mask_window = mask_window
        self.keys: mx.array | None = None  # (slots, kv_heads, capacity, head_dim)
        self.values: mx.array | None = None

    @property
    def offset(self) -> int | mx.array:
        """Tokens before this pass: an int, or (rows,) int32 where rows differ."""
        return self._group.geometry.offset

    @property
    def start_position(self) -> int:
        """The position of the first key that is attended to, for mlx-lm's chunked attention."""
        return self._group.geometry.first_position

    def maybe_trim_front(self) -> None:
        """Do nothing: the group drops old positions before the pass begins."""

    def make_mask(
        self,
        N: int,  # noqa: ARG002, N803  # the name that mlx-lm's models use
        return_array: bool = False,  # noqa: FBT001, FBT002
        window_size: int | None = None,
    ) -> Mask:
        """Return the mask of this pass; see `Geometry.mask`."""
        window = self._mask_window(window_size)
        return self._group.geometry.mask(window, as_array=return_array)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Write this pass's keys and values; return all that its queries may attend to.

        Args:
            keys: (rows, kv_heads, tokens, head_dim)
            values: The same, with a head_dim of their own.
        """
        self.keys = self._written(self.keys, keys)
        self.values = self._written(self.values, values)
        return self.keys_and_values()

    def keys_and_values(self) -> tuple[mx.array, mx.array]:
        """Return what queries of this pass may attend to.  (rows, kv_heads, keys, head_dim)"""
        assert self.keys is not None and self.values is not None  # noqa: PT018
        rows, visible = self._group.geometry.rows, self._group.geometry.visible
        return self.keys[rows, :, visible], self.values[rows, :, visible]

    def _written(self, buffer: mx.array | None, new: mx.array) -> mx.array:
        group, geometry = self._group, self._group.geometry
        if buffer is None:
            buffer = buffers.like(new, group.num_slots, group.capacity)
        if geometry.write_at is None:
            return buffers.write_rows(buffer, geometry.rows, geometry.write_from, new)
        if new.shape[0] == buffer.shape[0]:
            return buffers.write_all_ragged(buffer, geometry.write_at, new)
        return buffers.write_ragged(buffer, geometry.indices(new.shape[1]), new)

    # Between passes

    def arrays(self) -> list[mx.array]:
        """Return its buffers, if it has been written."""
        return [array for array in (self.keys, self.values) if array is not None]

    def has_size(self, num_slots: int, capacity: int) -> bool:
        """Return True if its buffers have exactly this size, or it has none."""
        sizes = {(array.shape[0], array.shape[2]) for array in self.arrays()}
        return sizes <= {(num_slots, capacity)}

    def resize(self, num_slots: int, capacity: int) -> None:
        """Resize the buffers; drop them if either is 0."""
        self.keys = buffers.resized(self.keys, num_slots, capacity)
        self.values = buffers.resized(self.values, num_slots, capacity)

    def shift(self, rows: slice, shifts: Sequence[int]) -> None:
        """Move each row's keys and values towards the front by its shift."""
        self.keys = buffers.shifted(self.keys, rows, shifts)
        self.values = buffers.shifted(self.values, rows, shifts)

    def read(self, row: int, span: slice) -> KeysValues:
        """Copy a row's keys and values.  (1, kv_heads, positions, head_dim) each

        A layer that the model does not write (nemotron-nas makes caches for layers without
        attention) gives one zero for each position.
        """
        if self.keys is None or self.values is None:
            nothing = mx.zeros((1, 1, len(range(self._group.capacity)[span]), 1))
            return nothing, nothing
        return (
            mx.contiguous(self.keys[row : row + 1, :, span]),
            mx.contiguous(self.values[row : row + 1, :, span]),
        )

    def write(self, row: int, position: int, keys: mx.array, values: mx.array) -> None:
        """Write keys and values into one row, outside of a pass."""
        group, rows = self._group, slice(row, row + 1)
        if self.keys is None or self.values is None:
            self.keys = buffers.like(keys, group.num_slots, group.capacity)
            self.values = buffers.like(values, group.num_slots, group.capacity)
        self.keys = buffers.write_rows(self.keys, rows, position, keys)
        self.values = buffers.write_rows(self.values, rows, position, values)
