"""The plan of one step, as plain data that can be tested, printed and sent to other machines."""

import math
from collections.abc import Sequence
from enum import IntEnum

from msgspec import Struct


class Sharing(IntEnum):
    """Which rows can share a forward pass. Each value allows what the ones before it do."""

    ALONE = 0  # none
    EQUAL = 1  # neighbours with equal cache lengths and equal numbers of tokens to process
    RAGGED = 2  # rows with equal numbers of tokens to process
    PADDED = 3  # any


class PassCost(Struct, frozen=True):
    """The cost model of a forward pass, in any unit of time."""

    fixed: float = 1.0  # per pass
    per_token: float = 0.05  # per computed token, padding and idle rows included
    per_attended: float = 0.0  # per computed token and position that it attends to

    def of(self, num_rows: int, num_tokens: int, length: int) -> float:
        """Estimate the cost of a pass over a slice of rows.

        Args:
            num_rows: Rows in the slice.
            num_tokens: Tokens computed for each.
            length: Cache length of the longest row after the pass: every token is computed
                against this many positions, masked or not.
        """
        return self.fixed + num_rows * num_tokens * (self.per_token + self.per_attended * length)

    def tokens_in(self, budget: float, length: int) -> int:
        """Return how many tokens of one row a pass can process within `budget`.

        The largest n with `of(1, n, length + n) <= budget`: a quadratic in n, since each token
        also attends to those processed with it. The root is written as `2c / (b + sqrt(...))`,
        which stays exact when `per_attended` is 0 and the quadratic becomes linear.

        Args:
            budget: In the unit of the cost.
            length: Tokens that the row has cached before.
        """
        left = budget - self.fixed
        if left <= 0:
            return 0
        each = self.per_token + self.per_attended * length
        return int(2 * left / (each + math.sqrt(each * each + 4 * self.per_attended * left)))


class RowDemand(Struct, frozen=True):
    """What one row needs from the next step."""

    num_cached: int
    token_ids: Sequence[int] = ()  # known, and not in the cache yet
    is_prompt: bool = False  # of a prompt, or computed before and dropped: may wait for other rows
    is_pending: bool = False  # its next token was just sampled and is known to the device only
    is_waiting: bool = False  # processes nothing in this step
    logits_from: int | None = None  # the least prefix length to return logits for; `None`: last one
    stops: Sequence[int] = ()  # prefix lengths at which a chunk has to end

    @property
    def is_active(self) -> bool:
        """True if the row has a token to process in this step."""
        return not self.is_waiting and (self.is_pending or bool(self.token_ids))


class RowRead(Struct, frozen=True):
    """The tokens of one row that a pass processes."""

    row: int
    start: int  # tokens in the row's cache before
    num_tokens: int
    token_ids: tuple[int, ...] | None  # `None`: the token just sampled, known to the device only
    num_logits: int = 1  # how many of the last positions return logits; 0 within a prompt


class Pass(Struct, frozen=True):
    """One forward pass over a slice of rows.

    Idle rows in the slice are computed too; their keys and values are written past their length
    and masked out. A row that processes fewer tokens than another is padded at its end.

        rows   starts   tokens
        2      20       a b c       first=2, starts=(20, 40, 50): rows 2 and 4 process 3 and 1
        3      40       0 0 0       tokens, row 3 is idle; 9 tokens are computed
        4      50       d 0 0
    """

    first: int  # the lowest row of the slice
    starts: tuple[int, ...]  # tokens in the cache of each row of the slice before the pass
    reads: tuple[RowRead, ...]  # of the rows that are not idle, in order

    @property
    def rows(self) -> slice:
        """The slice of the batch."""
        return slice(self.first, self.first + len(self.starts))

    @property
    def num_tokens(self) -> int:
        """Tokens computed for each row, padding included."""
        return max(read.num_tokens for read in self.reads)

    @property
    def needs_logits(self) -> bool:
        """True if any position returns logits."""
        return any(read.num_logits for read in self.reads)


class StepPlan(Struct, frozen=True):
    """The forward passes of one step, in launch order."""

    passes: tuple[Pass, ...]

    def cost(self, cost: PassCost) -> float:
        """Estimate the cost of the step."""
        return sum(
            cost.of(len(pass_.starts), pass_.num_tokens, max(pass_.starts) + pass_.num_tokens)
            for pass_ in self.passes
        )
