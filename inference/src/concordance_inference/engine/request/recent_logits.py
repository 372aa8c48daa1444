"""The logits of a row's last positions, so that backtracking to one of them needs no forward pass.

Array-free: the logits are opaque values here.
"""

from collections import deque
from typing import Any

#: Maximum number of positions per row, if they fit into `MAX_BYTES`.
MAX_POSITIONS = 32

#: Positions kept if no mod can backtrack: the pending one, and the one before it, at which a token
#: may have to be sampled again.
MIN_POSITIONS = 2

#: Maximum size of the logits kept for a batch, in bytes.
MAX_BYTES = 128 * 1024 * 1024


def positions_that_fit(num_rows: int, row_bytes: int) -> int:
    """Return the number of positions to keep per row.

    Args:
        num_rows: Rows of the batch.
        row_bytes: Size of the logits of one position.
    """
    return min(MAX_POSITIONS, MAX_BYTES // (num_rows * row_bytes))


class RecentLogits:
    """Logits by the length of the prefix that they follow, for the most recent positions.

    An entry is valid as long as its prefix is unchanged. Callers that change tokens drop the
    entries after the change.
    """

    def __init__(self, max_positions: int) -> None:
        """Create an empty store for up to `max_positions` positions."""
        self._entries: deque[tuple[int, Any]] = deque(maxlen=max_positions)

    def add(self, length: int, logits: Any) -> None:
        """Store the logits that follow `length` tokens; drop those of later positions."""
        self.drop_after(length - 1)
        self._entries.append((length, logits))

    def drop_after(self, length: int) -> None:
        """Drop the logits that follow more than `length` tokens."""
        while self._entries and self._entries[-1][0] > length:
            self._entries.pop()

    def get(self, length: int) -> Any | None:
        """Return the logits that follow `length` tokens, if they are stored."""
        return next((logits for at, logits in reversed(self._entries) if at == length), None)
