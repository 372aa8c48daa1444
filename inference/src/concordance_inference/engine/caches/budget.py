"""The memory for caches: which rows fit into it together. No arrays."""

from collections.abc import Sequence

from concordance_shared.prompt_length import check_prompt_length
from msgspec import Struct

#: Positions that a pass may write past a row's length, for padding, which are masked.
_SLACK = 32

#: Past states of recurrent layers take at most this many bytes, and at most this part of the memory
#: for caches.
PAST_BYTES = 256 * 1024 * 1024
_PAST_PART = 8


class Footprint(Struct, frozen=True, kw_only=True):
    """The bytes of a model's caches, by what they grow with."""

    per_token: int = 0  # per position of a slot: full attention
    per_slot: int = 0  # per slot of the buffers: sliding windows
    per_row: int = 0  # per row: recurrent states and snapshots
    past: int = 0  # per row, if they fit: past states of recurrent layers
    growth: int = 1  # positions of a slot are a multiple of this


def combined(footprints: Sequence[Footprint]) -> Footprint:
    """Add up the footprints of a model's groups."""
    return Footprint(
        per_token=sum(size.per_token for size in footprints),
        per_slot=sum(size.per_slot for size in footprints),
        per_row=sum(size.per_row for size in footprints),
        past=sum(size.past for size in footprints),
        growth=max((size.growth for size in footprints), default=1),
    )


class KvBudget:
    """The memory that the caches of running rows may take.

    The rows of a batch share buffers that are as long as the longest row, with slots for a power
    of two of rows, so the bytes of a row depend on the other rows:

        rows that grow to 500, 300 and 200 tokens, growth 256:
        4 slots x 768 positions x per_token  (500 + slack, rounded up)

    A row is admitted if it fits at the length that it can grow to, so it never runs out of memory.
    """

    def __init__(
        self, footprint: Footprint, *, max_bytes: int, max_rows: int, context_length: int
    ) -> None:
        """Make a budget.

        Args:
            footprint: The bytes of the model's caches.
            max_bytes: The memory for caches.
            max_rows: Rows that run together, at most.
            context_length: Tokens of a row, at most.
        """
        self.max_bytes = max_bytes
        self.past_bytes = min(PAST_BYTES, max_rows * footprint.past, max_bytes // _PAST_PART)
        self._footprint = footprint
        self._context_length = context_length
        self.longest = self._longest(1)  # tokens of a row that runs alone
        self._share = self._longest(max_rows)  # tokens of each if all rows are equally long

    def bytes_of(self, lengths: Sequence[int]) -> int:
        """Return the bytes of rows that have grown to these lengths."""
        if not lengths:
            return 0
        footprint = self._footprint
        room = -(-(max(lengths) + _SLACK) // footprint.growth) * footprint.growth
        per_slot = room * footprint.per_token + footprint.per_slot
        rows = num_slots(len(lengths)) * per_slot + len(lengths) * footprint.per_row
        return rows + self.past_bytes

    def fits(self, lengths: Sequence[int]) -> bool:
        """Return True if rows may grow to these lengths together."""
        return self.bytes_of(lengths) <= self.max_bytes

    def check_prompt(self, prompt_len: int, *, param: str = "prompt") -> None:
        """Reject a prompt that can never run.

        Raises:
            ContextLengthError: It leaves no room for a completion, even alone.
        """
        remedy = "shorten it"
        limit_of = "the model's context"
        if self.longest < self._context_length:
            limit_of = "the memory for caches"
            remedy += ", or give the server more with --kv-memory"
        check_prompt_length(prompt_len, self.longest, limit_of=limit_of, param=param, remedy=remedy)

    def length_of(self, prompt_len: int, max_tokens: int | None) -> int:
        """Return the length that a request can grow to, prompt and completion: at most `longest`.

        Without `max_tokens`, it gets an equal share of the memory, or as much again as its prompt
        if that is more.
        """
        if max_tokens is None:
            return min(max(self._share, 2 * prompt_len), self.longest)
        return min(prompt_len + max_tokens, self.longest)

    def _longest(self, num_rows: int) -> int:
        """The length to which `num_rows` rows can grow together."""
        size, slots = self._footprint, num_slots(num_rows)
        left = self.max_bytes - self.past_bytes - num_rows * size.per_row - slots * size.per_slot
        if left < 0:
            return 0
        if not size.per_token:
            return self._context_length
        room = left // (slots * size.per_token) // size.growth * size.growth
        return max(0, min(self._context_length, room - _SLACK))


def num_slots(num_rows: int) -> int:
    """Buffer slots for `num_rows`: the next power of two."""
    return 1 << (num_rows - 1).bit_length() if num_rows else 0
