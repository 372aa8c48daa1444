"""The scores of a row's last positions, so that going back to one of them needs no pass.

Knows nothing of arrays: it keeps what it is given.
"""

from collections import deque
from typing import Any

#: So many positions are remembered, if they fit.
MAX_POSITIONS = 32

#: What the remembered scores of a batch may take, in bytes.
MAX_BYTES = 128 * 1024 * 1024


def positions_that_fit(num_rows: int, row_bytes: int) -> int:
    """How many positions a batch may remember.

    Args:
        num_rows: Rows of the batch.
        row_bytes: What the scores of one position of one row take.
    """
    return min(MAX_POSITIONS, MAX_BYTES // (num_rows * row_bytes))


class RecentLogits:
    """StepLogits by how many tokens stand before their position, for the last few positions.

    What is remembered holds as long as those tokens stand; whoever takes tokens back forgets what
    came behind them.
    """

    def __init__(self, max_positions: int) -> None:
        """Make an empty memory of so many positions."""
        self._entries: deque[tuple[int, Any]] = deque(maxlen=max_positions)

    def remember(self, length: int, scores: Any) -> None:
        """Keep the scores of the position behind `length` tokens."""
        self.forget_behind(length - 1)
        self._entries.append((length, scores))

    def forget_behind(self, length: int) -> None:
        """Forget the positions behind more than `length` tokens."""
        while self._entries and self._entries[-1][0] > length:
            self._entries.pop()

    def recall(self, length: int) -> Any | None:
        """The scores of the position behind `length` tokens, if they are remembered."""
        return next((scores for at, scores in reversed(self._entries) if at == length), None)
