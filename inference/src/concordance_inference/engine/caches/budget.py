"""How many rows of which lengths fit into the memory for caches. No arrays."""

from collections.abc import Sequence

from msgspec import Struct

#: A pass may write as many tokens behind a row's end, where nobody looks.
_SLACK = 32

#: Past states of recurrent layers take at most so many bytes, and at most this part of the memory
#: for caches.
PAST_BYTES = 256 * 1024 * 1024
_PAST_PART = 8


class Footprint(Struct, frozen=True, kw_only=True):
    """What a model's caches take, in bytes."""

    per_token: int  # of each token that a buffer has room for, in layers that look all the way back
    per_slot: int = 0  # of each row that buffers have room for: sliding windows
    per_row: int = 0  # of each row: recurrent states, and what it can go back to
    past: int = 0  # of each row, if there is room: past states of recurrent layers
    growth: int = 1  # buffers have room for a multiple of so many tokens


class KvBudget:
    """The memory that the caches of running rows may take.

    The rows of a batch share buffers that are as long as the longest row and have room for a power
    of two of rows, so what a row takes depends on those beside it. Rows are admitted by what they
    can grow to: one that was admitted always finds room.
    """

    def __init__(
        self, footprint: Footprint, *, max_bytes: int, max_rows: int, context_length: int
    ) -> None:
        """Make a budget.

        Args:
            footprint: What the model's caches take.
            max_bytes: What they may take.
            max_rows: How many rows run together at most.
            context_length: How long a row can be at most.
        """
        self.max_bytes = max_bytes
        self.past_bytes = min(PAST_BYTES, max_rows * footprint.past, max_bytes // _PAST_PART)
        self._footprint = footprint
        self._context_length = context_length
        self.longest = self._longest(1)
        self._fair = self._longest(max_rows)

    def bytes_of(self, lengths: Sequence[int]) -> int:
        """What rows take when they have grown to these lengths."""
        if not lengths:
            return 0
        footprint = self._footprint
        room = -(-(max(lengths) + _SLACK) // footprint.growth) * footprint.growth
        per_slot = room * footprint.per_token + footprint.per_slot
        rows = num_slots(len(lengths)) * per_slot + len(lengths) * footprint.per_row
        return rows + self.past_bytes

    def fits(self, lengths: Sequence[int]) -> bool:
        """Whether rows may grow to these lengths together."""
        return self.bytes_of(lengths) <= self.max_bytes

    def length_of(self, prompt_len: int, max_tokens: int | None) -> int:
        """What a request can grow to, prompt and completion together: not beyond `longest`.

        One that does not say how much it wants may have its share if every row were as long, or
        as much as its prompt again if that is more.
        """
        wanted = max(self._fair, 2 * prompt_len) if max_tokens is None else prompt_len + max_tokens
        return min(wanted, self.longest)

    def _longest(self, num_rows: int) -> int:
        """How long so many rows can be together."""
        size, slots = self._footprint, num_slots(num_rows)
        left = self.max_bytes - self.past_bytes - num_rows * size.per_row - slots * size.per_slot
        if left < 0:
            return 0
        if not size.per_token:
            return self._context_length
        room = left // (slots * size.per_token) // size.growth * size.growth
        return max(0, min(self._context_length, room - _SLACK))


def num_slots(num_rows: int) -> int:
    """For how many rows buffers have room when so many run: the next power of two."""
    return 1 << (num_rows - 1).bit_length() if num_rows else 0
