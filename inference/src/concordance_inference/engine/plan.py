"""What one step of the loop reads: plain data, so that it can be tested, printed and broadcast."""

import math
from collections.abc import Sequence
from enum import IntEnum

from msgspec import Struct

#: Rows that hold fewer tokens share a pass only if they hold equally many: the states of some
#: recurrent layers have another shape until they have seen so many.
_WARM = 8


class Sharing(IntEnum):
    """Which rows can share a forward pass. Each allows what those before it do."""

    ALONE = 0  # none
    EQUAL = 1  # neighbours that hold and read equally many tokens
    RAGGED = 2  # rows that read equally many
    PADDED = 3  # any


class PassCost(Struct, frozen=True):
    """What a forward pass costs, in any unit of time."""

    fixed: float = 1.0  # whatever it reads
    per_token: float = 0.05  # more for each token of each row that it covers
    per_look: float = 0.0  # more for each position that each of these tokens looks at

    def of(self, num_rows: int, num_tokens: int, length: int) -> float:
        """What a pass costs.

        Args:
            num_rows: How many rows it covers.
            num_tokens: How many tokens are computed for each.
            length: How many tokens the longest holds afterwards: all look at as many positions.
        """
        return self.fixed + num_rows * num_tokens * (self.per_token + self.per_look * length)

    def tokens_in(self, budget: float, length: int) -> int:
        """How many tokens of one row, which holds `length` before, a pass can read at a cost."""
        left = budget - self.fixed
        if left <= 0:
            return 0
        each = self.per_token + self.per_look * length
        return int(2 * left / (each + math.sqrt(each * each + 4 * self.per_look * left)))


class RowDemand(Struct, frozen=True):
    """What the planner has to know of a row."""

    num_cached: int
    token_ids: Sequence[int] = ()  # known and not read yet
    is_prompt: bool = False  # these are of a prompt, or read again: they may have to wait
    is_pending: bool = False  # the token just sampled is on the device and not known yet
    is_waiting: bool = False  # reads nothing in this step
    scores_from: int | None = None  # the first length whose scores are wanted; `None`: the last
    stops: Sequence[int] = ()  # lengths at which a chunk has to end

    @property
    def reads_something(self) -> bool:
        """Whether there is anything to read in this step."""
        return not self.is_waiting and (self.is_pending or bool(self.token_ids))


class Read(Struct, frozen=True):
    """What one row reads in a step."""

    row: int
    start: int  # how many tokens it holds before
    num_tokens: int
    token_ids: tuple[int, ...] | None  # None: the one token just sampled, still on the device
    num_scored: int = 1  # of the last positions read; 0 in the middle of a prompt


class Pass(Struct, frozen=True):
    """One forward pass over neighbouring rows.

    Rows among them that have nothing to read ride along: what is written for them stands behind
    what they hold, where nobody looks. A row that reads fewer tokens than another is padded.
    """

    first: int  # the lowest row
    starts: tuple[int, ...]  # for each row that is covered: how many tokens it holds before
    reads: tuple[Read, ...]  # in the order of their rows

    @property
    def rows(self) -> slice:
        """The rows that are covered."""
        return slice(self.first, self.first + len(self.starts))

    @property
    def num_tokens(self) -> int:
        """How many tokens are computed for each row."""
        return max(read.num_tokens for read in self.reads)

    @property
    def is_scored(self) -> bool:
        """Whether any position is scored."""
        return any(read.num_scored for read in self.reads)


class StepPlan(Struct, frozen=True):
    """One step: the forward passes in the order in which they are launched."""

    passes: tuple[Pass, ...]

    def cost(self, cost: PassCost) -> float:
        """What the step costs when a pass costs so much."""
        return sum(
            cost.of(len(pass_.starts), pass_.num_tokens, max(pass_.starts) + pass_.num_tokens)
            for pass_ in self.passes
        )


def plan_step(
    rows: Sequence[RowDemand],
    *,
    chunk: int,
    sharing: Sharing = Sharing.PADDED,
    cost: PassCost = PassCost(),  # noqa: B008  # frozen
) -> StepPlan:
    """Decide what each row reads, and which rows share a pass.

    Prompts and long spans that a mod forced are read in chunks, so that they do not hold up the
    rows that decode. A short span is read whole, or one token a step like those that are sampled,
    whichever lets the batch go on faster.

    Args:
        rows: The rows of the batch, in order.
        chunk: How many tokens that are known a step may read, at least 1.
        sharing: Which rows can share a pass.
        cost: What passes cost: rows that read different numbers of tokens share one where padding
            costs less than another pass.
    """
    reads = _reads(rows, chunk, sharing, cost)
    lengths = [row.num_cached for row in rows]
    passes: list[Pass] = []
    for group in _grouped(reads, sharing, cost):
        first, last = group[0].row, group[-1].row
        passes.append(Pass(first, tuple(lengths[first : last + 1]), tuple(group)))
        for read in group:
            lengths[read.row] += read.num_tokens
    return StepPlan(tuple(passes))


def _reads(rows: Sequence[RowDemand], chunk: int, sharing: Sharing, cost: PassCost) -> list[Read]:
    """What each row reads, in order."""
    reads: list[Read] = []
    num_reading = sum(row.reads_something for row in rows)
    for i, row in enumerate(rows):
        if not row.reads_something:
            continue
        if row.is_pending:
            reads.append(Read(i, row.num_cached, 1, None))
            continue
        num_tokens = len(row.token_ids)
        if num_tokens > 1:
            num_tokens = _chunk_of(row, chunk)
            if not row.is_prompt and not _is_worth(row, num_tokens, num_reading, sharing, cost):
                num_tokens = 1
            chunk -= min(chunk, num_tokens)
        if num_tokens:
            token_ids = tuple(row.token_ids[:num_tokens])
            scored = _num_scored(row, num_tokens)
            reads.append(Read(i, row.num_cached, num_tokens, token_ids, scored))
    return reads


def _num_scored(row: RowDemand, num_tokens: int) -> int:
    """How many of the last positions of a read are to be scored."""
    last = row.num_cached + len(row.token_ids)
    first = last if row.scores_from is None else row.scores_from
    return max(0, min(num_tokens, row.num_cached + num_tokens - first + 1))


def _chunk_of(row: RowDemand, chunk: int) -> int:
    """How many known tokens to read now: of a prompt none, if others have taken the chunk."""
    ahead = [stop - row.num_cached for stop in row.stops if stop > row.num_cached]
    least = 0 if row.is_prompt else 1
    return min([max(chunk, least), len(row.token_ids), *ahead])


def _is_worth(
    row: RowDemand, num_tokens: int, num_reading: int, sharing: Sharing, cost: PassCost
) -> bool:
    """Whether the batch goes on faster if a row reads so many tokens in a step, and not one.

    Where rows that read equally many cannot share a pass, another costs nothing more.
    """
    if sharing < Sharing.RAGGED:
        return True
    length = row.num_cached + num_tokens
    one_each = cost.of(num_reading, 1, length)
    padded = cost.of(num_reading, num_tokens, length)
    apart = cost.of(num_reading - 1, 1, length) + cost.of(1, num_tokens, length)
    rate = (num_reading - 1 + num_tokens) / min(padded, apart)
    return rate >= num_reading / one_each


def _grouped(reads: Sequence[Read], sharing: Sharing, cost: PassCost) -> list[list[Read]]:
    """The reads that share a pass, those that read least first."""
    groups = _neighbours(sorted(reads, key=lambda read: _order(read, sharing)), sharing)
    if sharing < Sharing.RAGGED:
        return groups
    i = 0
    while i + 1 < len(groups):
        one, other = groups[i], groups[i + 1]
        both = sorted([*one, *other], key=lambda read: read.row)
        if _can_share(one[0], other[0], sharing) and _is_cheaper(both, one, other, cost):
            groups[i : i + 2] = [both]
        else:
            i += 1
    return groups


def _order(read: Read, sharing: Sharing) -> tuple[int, int, int]:
    return (read.num_tokens, _youth(read, sharing), read.row)


def _youth(read: Read, sharing: Sharing) -> int:
    """What has to be the same for two rows that read equally many tokens to share a pass."""
    return 0 if sharing is Sharing.PADDED else min(read.start, _WARM)


def _can_share(one: Read, other: Read, sharing: Sharing) -> bool:
    return sharing is Sharing.PADDED or _order(one, sharing)[:2] == _order(other, sharing)[:2]


def _neighbours(reads: Sequence[Read], sharing: Sharing) -> list[list[Read]]:
    """Groups of rows that stand side by side and can share a pass without a thought."""
    groups: list[list[Read]] = []
    for read in reads:
        if groups and _is_like(groups[-1][-1], read, sharing):
            groups[-1].append(read)
        else:
            groups.append([read])
    return groups


def _is_like(one: Read, other: Read, sharing: Sharing) -> bool:
    if sharing is Sharing.ALONE or one.row + 1 != other.row:
        return False
    if sharing is Sharing.EQUAL:
        return (one.start, one.num_tokens) == (other.start, other.num_tokens)
    return _order(one, sharing)[:2] == _order(other, sharing)[:2]


def _is_cheaper(
    both: Sequence[Read], one: Sequence[Read], other: Sequence[Read], cost: PassCost
) -> bool:
    return _cost(both, cost) < _cost(one, cost) + _cost(other, cost)


def _cost(group: Sequence[Read], cost: PassCost) -> float:
    num_rows = group[-1].row - group[0].row + 1
    num_tokens = max(read.num_tokens for read in group)
    return cost.of(num_rows, num_tokens, max(read.start for read in group) + num_tokens)
