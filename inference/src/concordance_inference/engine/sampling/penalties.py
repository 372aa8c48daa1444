"""Logit bias and penalties of requests, applied before mods see the logits.

How often each token occurs in a completion is counted on the device. The token just sampled is
counted before the host knows it. If the completion then changes in any other way, since a mod
forced, backtracked or replaced the token, the row is counted again from scratch, so that a
discarded draw leaves no trace:

    host        completion a b, counted        mod replaces c by d: a b d
    device      counts a b; then c, sampled    edits differ: count a b d again
"""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Protocol

import mlx.core as mx
from msgspec import Struct

from concordance_inference.engine.sampling.fused import fused
from concordance_inference.engine.sampling.row_ops import apply_rows, take_rows
from concordance_inference.generation import SamplingParams

#: Equals no token id, and none of the values in place of a token (`NO_TOKEN`, `TOO_FEW`).
_EXEMPT = -1000


class Completion(Protocol):
    """The part of a request's state that determines the counts."""

    @property
    def completion_ids(self) -> Sequence[int]:
        """The tokens of the completion that the host knows."""
        ...

    @property
    def num_completion(self) -> int:
        """Their number."""
        ...

    @property
    def num_edits(self) -> int:
        """A counter of changes other than an appended sampled token."""
        ...


class Counted(Struct, frozen=True, eq=False):
    """A completion, and whether its next token is sampled but known to the device only."""

    completion: Completion
    is_pending: bool = False


class Penalties:
    """The bias, the penalties and the token counts of a batch's rows.

    Built again whenever the batch's membership changes.
    """

    def __init__(self, params: Sequence[SamplingParams], exempt: Collection[int] = ()) -> None:
        """Lay out the rows' parameters.

        Args:
            params: One for each row of the batch.
            exempt: Tokens that are never penalized: control tokens.
        """
        self._biases = [dict(p.logit_bias) for p in params]
        self._rows = [i for i, p in enumerate(params) if _penalizes(p)]
        self._at = {row: i for i, row in enumerate(self._rows)}
        penalized = [params[i] for i in self._rows]
        self._factors = mx.array(
            [(p.repetition_penalty, p.presence_penalty, p.frequency_penalty) for p in penalized]
        ).reshape(-1, 3)  # (penalized rows, 3)
        self._exempt = frozenset(exempt)
        self._counts = mx.zeros((0, 0))  # (penalized rows, vocab) float32
        # What each row's counts include: `num_edits`, and tokens with the one counted in advance.
        self._counted: list[tuple[int, int] | None] = [None] * len(self._rows)

    @property
    def rows(self) -> Sequence[int]:
        """The rows of the batch with penalties, whose tokens are counted."""
        return self._rows

    @property
    def change_nothing(self) -> bool:
        """True if no row has a bias or a penalty."""
        return not self._rows and not any(self._biases)

    def apply(
        self,
        logits: mx.array,
        rows: Sequence[int],
        counted: Sequence[Counted],
        sampled: mx.array | None = None,
    ) -> mx.array:
        """Return the logits with bias and penalties.

        Args:
            logits: (n, vocab) float32
            rows: The row of the batch that each belongs to, in ascending order.
            counted: The completion of each of `self.rows`.
            sampled: The tokens just sampled, of all rows of the batch.  (rows,) int32

        Returns:
            (n, vocab) float32
        """
        logits = self._with_bias(logits, rows)
        found = [(i, self._at[row]) for i, row in enumerate(rows) if row in self._at]
        if not found:
            return logits
        self._count(counted, sampled, logits.shape[-1])
        at = [at for _, at in found]
        counts, factors = take_rows(self._counts, at), take_rows(self._factors, at)
        return apply_rows(
            logits, [i for i, _ in found], lambda some: _penalized(some, counts, factors)
        )

    def _with_bias(self, logits: mx.array, rows: Sequence[int]) -> mx.array:
        cells = [(i, t, b) for i, row in enumerate(rows) for t, b in self._biases[row].items()]
        if not cells:
            return logits
        at, token_ids, biases = zip(*cells, strict=True)
        return logits.at[mx.array(list(at)), mx.array(list(token_ids))].add(mx.array(list(biases)))

    def _count(self, counted: Sequence[Counted], sampled: mx.array | None, vocab_size: int) -> None:
        """Bring the counts up to date: each completion, and its pending token if there is one."""
        if not self._counts.size:
            self._counts = mx.zeros((len(self._rows), vocab_size))
        for i, row in enumerate(counted):
            if self._counted[i] != (row.completion.num_edits, row.completion.num_completion):
                self._counts[i] = self._counts_of(row.completion, vocab_size)
            ahead = row.completion.num_completion + (row.is_pending and sampled is not None)
            self._counted[i] = (row.completion.num_edits, ahead)
        pending = [row.is_pending for row in counted]
        if sampled is not None and any(pending):
            token_ids = take_rows(sampled, self._rows)[:, None]
            if not all(pending):
                token_ids = mx.where(mx.array(pending)[:, None], token_ids, _EXEMPT - 1)
            self._counts = _with_one_more(self._counts, _ids(vocab_size, self._exempt), token_ids)

    def _counts_of(self, completion: Completion, vocab_size: int) -> mx.array:
        """Count the tokens of a completion.  (vocab,) float32"""
        counts = mx.zeros((vocab_size,))
        ids = [token_id for token_id in completion.completion_ids if token_id not in self._exempt]
        return counts.at[mx.array(ids, mx.int32)].add(1.0) if ids else counts


@fused
def _penalized(logits: mx.array, counts: mx.array, factors: mx.array) -> mx.array:
    repetition, presence, frequency = factors[:, 0:1], factors[:, 1:2], factors[:, 2:3]
    occurs = counts > 0
    divided = mx.where(logits > 0, logits / repetition, logits * repetition)
    return mx.where(occurs, divided, logits) - (presence * occurs + frequency * counts)


@fused
def _with_one_more(counts: mx.array, ids: mx.array, token_ids: mx.array) -> mx.array:
    """Count one token of each row; none if it equals no id.

    Comparing with all ids is element-wise, so that it is fused with the operations around it into
    one kernel; a scatter takes five.

        ids        0  1  2  3     token 2     counts 1 0 0 4  ->  1 0 1 4
    """
    return counts + (ids == token_ids)


@lru_cache(maxsize=8)
def _ids(vocab_size: int, exempt: frozenset[int]) -> mx.array:
    """Return the token ids, and `_EXEMPT` in place of exempt ones.  (vocab,) int32"""
    ids = mx.arange(vocab_size, dtype=mx.int32)
    known = [token_id for token_id in exempt if token_id < vocab_size]
    if known:
        ids[mx.array(known)] = _EXEMPT
    mx.eval(ids)
    return ids


def _penalizes(p: SamplingParams) -> bool:
    return bool(p.repetition_penalty != 1 or p.presence_penalty or p.frequency_penalty)
