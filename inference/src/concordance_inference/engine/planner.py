"""Plans a step: which tokens each row processes, and which rows share a forward pass."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

from concordance_inference.engine.plan import Pass, PassCost, RowDemand, RowRead, Sharing, StepPlan

#: A row with fewer cached tokens shares a pass only with rows of the same cache length: the states
#: of some recurrent layers (a convolution over the last 4 inputs) change shape until then.
_WARM_LENGTH = 8


def plan_step(
    rows: Sequence[RowDemand],
    *,
    chunk: int,
    sharing: Sharing = Sharing.PADDED,
    cost: PassCost = PassCost(),  # noqa: B008  # frozen
) -> StepPlan:
    """Decide which tokens each row processes, and which rows share a pass.

    Prompts and long forced spans are prefilled in chunks, so that they do not delay the rows that
    decode. A short forced span is processed whole, or one token a step like a sampled one,
    whichever gives the batch more tokens per second.

    Args:
        rows: The rows of the batch, in order.
        chunk: Tokens of prompts and forced spans that the step may process, at least 1.
        sharing: Which rows can share a pass.
        cost: Decides whether rows with different numbers of tokens share a padded pass or run in
            passes of their own.
    """
    lengths = [row.num_cached for row in rows]
    passes: list[Pass] = []
    reads = _reads(rows, chunk, sharing, cost)
    groups = [reads] if _are_neighbours(reads, sharing) else _group(reads, sharing, cost)
    for group in groups:
        first, last = group[0].row, group[-1].row
        # The lengths of idle rows in the slice count what earlier passes of the step have added.
        passes.append(Pass(first, tuple(lengths[first : last + 1]), tuple(group)))
        for read in group:
            lengths[read.row] += read.num_tokens
    return StepPlan(tuple(passes))


def _reads(
    rows: Sequence[RowDemand], chunk: int, sharing: Sharing, cost: PassCost
) -> list[RowRead]:
    """Choose the tokens of each row; earlier rows take from the chunk first."""
    reads: list[RowRead] = []
    num_active = sum(row.is_active for row in rows)
    for i, row in enumerate(rows):
        if not row.is_active:
            continue
        if row.is_pending:
            reads.append(RowRead(i, row.num_cached, 1, None))
            continue
        num_tokens = len(row.token_ids)
        if num_tokens > 1:
            num_tokens = _chunk_of(row, chunk)
            if not row.is_prompt and not _pays_whole(row, num_tokens, num_active, sharing, cost):
                num_tokens = 1
            chunk -= min(chunk, num_tokens)
        if num_tokens:
            token_ids = tuple(row.token_ids[:num_tokens])
            num_logits = _num_logits(row, num_tokens)
            reads.append(RowRead(i, row.num_cached, num_tokens, token_ids, num_logits))
    return reads


def _num_logits(row: RowDemand, num_tokens: int) -> int:
    """Count the last positions of a read that return logits.

    With 20 tokens cached and 5 to process, the positions return the logits that follow prefixes of
    21, 22, 23, 24 and 25 tokens: `logits_from=24` needs the last two.
    """
    end = row.num_cached + num_tokens
    last = row.num_cached + len(row.token_ids)
    least = last if row.logits_from is None else row.logits_from
    return max(0, min(num_tokens, end - least + 1))


def _chunk_of(row: RowDemand, chunk: int) -> int:
    """Bound a row's tokens by what is left of the chunk; forced tokens process at least one."""
    distances = [stop - row.num_cached for stop in row.stops if stop > row.num_cached]
    least = 0 if row.is_prompt else 1
    return min([max(chunk, least), len(row.token_ids), *distances])


def _pays_whole(
    row: RowDemand, num_tokens: int, num_active: int, sharing: Sharing, cost: PassCost
) -> bool:
    """True if the batch gains more tokens per second when a forced span is processed whole.

    Compares the rates of two steps: one token for each row, against `num_tokens` for this row and
    one for each other, in a padded pass or in two. With 7 decoding rows, a span of 5 and a pass
    of 70 + 2 per token:

        one each      8 tokens in 70 + 8 x 2           = 86      0.093 per unit
        whole        12 tokens in (70 + 14) + (70 + 10) = 164    0.073 per unit: one token a step
                                  (padded: 70 + 80      = 150    0.080 per unit)

    Where rows cannot share a pass in any case, a separate pass for the span costs nothing more.
    """
    if sharing < Sharing.RAGGED:
        return True
    length = row.num_cached + num_tokens
    one_each = cost.of(num_active, 1, length)
    padded = cost.of(num_active, num_tokens, length)
    apart = cost.of(num_active - 1, 1, length) + cost.of(1, num_tokens, length)
    rate = (num_active - 1 + num_tokens) / min(padded, apart)
    return rate >= num_active / one_each


def _are_neighbours(reads: Sequence[RowRead], sharing: Sharing) -> bool:
    """True if all rows share a pass without an idle row or padding, as in most steps."""
    if not reads or sharing is Sharing.ALONE:
        return False
    is_slice = reads[-1].row - reads[0].row == len(reads) - 1
    return is_slice and len({_shape(sharing, read) for read in reads}) == 1


def _shape(sharing: Sharing, read: RowRead) -> tuple[int, int]:
    """Return what rows have in common that share a pass without padding."""
    if sharing is Sharing.PADDED:
        return read.num_tokens, 0
    if sharing is Sharing.RAGGED:
        return read.num_tokens, min(read.start, _WARM_LENGTH)
    return read.num_tokens, read.start


def _group(reads: Sequence[RowRead], sharing: Sharing, cost: PassCost) -> list[list[RowRead]]:
    """Partition the reads into passes, those with the fewest tokens first.

    Neighbouring rows of one shape always share a pass, since it computes no idle row and no padding
    for them. Whether other rows share one is a question of cost.
    """
    shape = partial(_shape, sharing)
    groups: list[list[RowRead]] = []
    for read in sorted(reads, key=lambda read: (shape(read), read.row)):
        last = groups[-1][-1] if groups and sharing is not Sharing.ALONE else None
        if last and last.row + 1 == read.row and shape(last) == shape(read):
            groups[-1].append(read)
        else:
            groups.append([read])
    if sharing is Sharing.PADDED:
        return _merge(groups, cost)
    if sharing is Sharing.RAGGED:
        alike = groupby(groups, key=lambda group: shape(group[0]))
        return [merged for _, some in alike for merged in _merge(list(some), cost)]
    return groups


def _merge(groups: Sequence[list[RowRead]], cost: PassCost) -> list[list[RowRead]]:
    """Merge consecutive groups while one pass over both is estimated to cost less than two.

        row      0    1    2    3
        tokens   1    1   30    1      groups: [0 1] [3] [2]

    [0 1] and [3] merge if computing 1 token of the idle row 2 costs less than a pass. [0 1 3] and
    [2] merge if computing 3 x 29 tokens of padding does.
    """

    def cost_of(group: Sequence[RowRead]) -> float:
        num_rows = group[-1].row - group[0].row + 1
        num_tokens = max(read.num_tokens for read in group)
        return cost.of(num_rows, num_tokens, max(read.start for read in group) + num_tokens)

    merged = list(groups[:1])
    for group in groups[1:]:
        both = sorted([*merged[-1], *group], key=lambda read: read.row)
        if cost_of(both) < cost_of(merged[-1]) + cost_of(group):
            merged[-1] = both
        else:
            merged.append(group)
    return merged
