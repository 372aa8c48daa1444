"""What one step of the loop reads: plain data, so that it can be tested, printed and broadcast."""

from collections.abc import Sequence

from msgspec import Struct


class Read(Struct, frozen=True):
    """What one row reads in a step."""

    row: int
    num_tokens: int
    token_ids: tuple[int, ...] | None  # None: the one token just sampled, still on the device
    is_scored: bool  # whether the row's next position can be decided after this read


class Lane(Struct, frozen=True):
    """One forward pass over neighbouring rows that read equally many tokens.

    Rows among them that have nothing to read ride along, and so does the whole batch where the
    rows hold different numbers of tokens; what is computed for them is thrown away.
    """

    reads: tuple[Read, ...]

    @property
    def first(self) -> int:
        """The lowest row."""
        return self.reads[0].row

    @property
    def last(self) -> int:
        """The highest row."""
        return self.reads[-1].row

    @property
    def num_tokens(self) -> int:
        """How many tokens each row reads."""
        return self.reads[0].num_tokens

    @property
    def is_scored(self) -> bool:
        """Whether any row's logits are wanted."""
        return any(read.is_scored for read in self.reads)


class StepPlan(Struct, frozen=True):
    """One step: the forward passes in the order in which they are launched."""

    cached: tuple[int, ...]  # per row of the batch: how many tokens its cache holds
    lanes: tuple[Lane, ...]


class Unread(Struct, frozen=True):
    """What the planner has to know of a row."""

    num_cached: int
    token_ids: Sequence[int] = ()  # known and not read yet
    is_prompt: bool = False  # the prompt is not read to its end: may be read in chunks
    is_pending: bool = False  # the token just sampled is on the device and not known yet
    is_waiting: bool = False  # reads nothing in this step


def plan_step(rows: Sequence[Unread], *, chunk: int) -> StepPlan:
    """Decide what each row reads.

    Rows that read one token share a lane. Rows that read more get lanes behind it: forced tokens
    whole, since they are one pass however many they are, and prompts in chunks, so that a long
    one does not hold up the rows that decode.

    Args:
        rows: The rows of the batch, in order.
        chunk: How many tokens of prompts a step may read, at least 1.
    """
    decode: list[Read] = []
    longer: list[Read] = []
    budget = chunk
    for i, row in enumerate(rows):
        if row.is_waiting:
            continue
        if row.is_pending:
            decode.append(Read(i, 1, None, is_scored=True))
        elif len(row.token_ids) == 1:
            decode.append(Read(i, 1, (row.token_ids[0],), is_scored=True))
        elif not row.is_prompt:
            longer.append(Read(i, len(row.token_ids), tuple(row.token_ids), is_scored=True))
        elif budget > 0:
            taken = tuple(row.token_ids[:budget])
            longer.append(Read(i, len(taken), taken, is_scored=len(taken) == len(row.token_ids)))
            budget -= len(taken)
    lanes = [Lane(tuple(decode))] if decode else []
    cached = tuple(row.num_cached for row in rows)
    return StepPlan(cached, (*lanes, *_neighbours(longer, cached)))


def _neighbours(reads: Sequence[Read], cached: Sequence[int]) -> list[Lane]:
    """Lanes of rows that stand side by side, hold and read equally many tokens."""
    lanes: list[list[Read]] = []
    for read in reads:
        if lanes and _fits(lanes[-1][-1], read, cached):
            lanes[-1].append(read)
        else:
            lanes.append([read])
    return [Lane(tuple(lane)) for lane in lanes]


def _fits(previous: Read, read: Read, cached: Sequence[int]) -> bool:
    return (previous.row + 1, previous.num_tokens, cached[previous.row]) == (
        read.row,
        read.num_tokens,
        cached[read.row],
    )
