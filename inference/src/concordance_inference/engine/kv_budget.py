"""How many rows of which lengths fit into the memory for caches. No arrays."""

from collections.abc import Sequence

from msgspec import Struct

#: Buffers are counted as if they always grew by this fraction beyond what is asked for.
_OVERHEAD = 9 / 8


class Footprint(Struct, frozen=True, kw_only=True):
    """What a model's caches take, in bytes."""

    per_token: int  # of each token of a row, in layers that look all the way back
    per_row: int  # whatever its length: sliding windows, recurrent states


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
        self._footprint = footprint
        self._context_length = context_length
        self.longest = self._longest(1)
        self._fair = self._longest(max_rows)

    def bytes_of(self, lengths: Sequence[int]) -> int:
        """What rows take when they have grown to these lengths."""
        if not lengths:
            return 0
        slots = 1 << (len(lengths) - 1).bit_length()
        per_token = self._footprint.per_token * _OVERHEAD
        return int(slots * max(lengths) * per_token) + len(lengths) * self._footprint.per_row

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
        slots = 1 << (num_rows - 1).bit_length()
        room = self.max_bytes - num_rows * self._footprint.per_row
        per_token = self._footprint.per_token * slots * _OVERHEAD
        return max(0, min(self._context_length, int(room / per_token) if per_token else 2**62))
