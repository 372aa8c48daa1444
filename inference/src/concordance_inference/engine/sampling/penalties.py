"""What a request itself does to the model's scores: a bias, and penalties on what was generated.

Applied before mods see the scores. Counts live on the device and go on with each token that is
sampled, before anyone has seen it; where a mod changed a completion, its row is counted anew.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

import mlx.core as mx
from msgspec import Struct

from concordance_inference.engine.sampling.rows import changed
from concordance_inference.generation import SamplingParams


class Completion(Protocol):
    """What the counts have to know of one row."""

    @property
    def completion_ids(self) -> Sequence[int]:
        """The tokens that were generated, as far as they are known."""
        ...

    @property
    def num_edits(self) -> int:
        """Goes up whenever they changed otherwise than by a sampled token."""
        ...


class Counted(Struct, frozen=True, eq=False):
    """A completion and the token behind it that was sampled and that nobody has seen yet."""

    completion: Completion
    pending: mx.array | None  # (1,) int32


class Penalties:
    """The bias and the penalties of a batch's rows, and how often each row said each token.

    Made anew whenever the batch's membership changes.
    """

    def __init__(self, params: Sequence[SamplingParams], exempt: Collection[int] = ()) -> None:
        """Lay out the rows' parameters.

        Args:
            params: One for each row of the batch.
            exempt: Tokens that are never penalized: those that control the format.
        """
        self._biases = [dict(p.logit_bias) for p in params]
        self._rows = [i for i, p in enumerate(params) if _penalizes(p)]
        self._at = {row: i for i, row in enumerate(self._rows)}
        penalized = [params[i] for i in self._rows]
        self._repetition = mx.array([p.repetition_penalty for p in penalized])[:, None]
        self._presence = mx.array([p.presence_penalty for p in penalized])[:, None]
        self._frequency = mx.array([p.frequency_penalty for p in penalized])[:, None]
        self._edits: list[int | None] = [None] * len(self._rows)
        self._exempt = list(exempt)
        self._weights = mx.zeros((0,))  # (vocab,) 0 for tokens that do not count
        self._counts = mx.zeros((0, 0))  # (penalized rows, vocab) float32

    @property
    def rows(self) -> Sequence[int]:
        """The rows of the batch whose completions have to be counted."""
        return self._rows

    @property
    def change_nothing(self) -> bool:
        """Whether no row has a bias or a penalty."""
        return not self._rows and not any(self._biases)

    def count(self, rows: Sequence[int], token_ids: mx.array) -> None:
        """Count the tokens that were just sampled.

        Args:
            rows: The rows of the batch that were sampled.
            token_ids: (sampled rows,) int32, still on the device
        """
        found = [(self._at[row], i) for i, row in enumerate(rows) if row in self._at]
        if found:
            at = mx.array([at for at, _ in found])
            sampled = token_ids[mx.array([i for _, i in found])]
            self._counts = self._counts.at[at, sampled].add(self._weights[sampled])

    def applied(
        self, logits: mx.array, rows: Sequence[int], counted: Sequence[Counted]
    ) -> mx.array:
        """The scores as the requests want them.

        Args:
            logits: (scored rows, vocab) float32
            rows: Which row of the batch each of them is.
            counted: What was generated, for each of `self.rows`.
        """
        logits = self._with_bias(logits, rows)
        found = [(i, self._at[row]) for i, row in enumerate(rows) if row in self._at]
        if not found:
            return logits
        self._recount(counted, logits.shape[-1])
        at = mx.array([at for _, at in found])
        return changed(logits, [i for i, _ in found], lambda some: self._penalized(some, at))

    def _with_bias(self, logits: mx.array, rows: Sequence[int]) -> mx.array:
        cells = [(i, t, b) for i, row in enumerate(rows) for t, b in self._biases[row].items()]
        if not cells:
            return logits
        at, token_ids, biases = zip(*cells, strict=True)
        return logits.at[mx.array(list(at)), mx.array(list(token_ids))].add(mx.array(list(biases)))

    def _penalized(self, logits: mx.array, at: mx.array) -> mx.array:
        counts = self._counts[at]
        said = counts > 0
        repetition = self._repetition[at]
        divided = mx.where(logits > 0, logits / repetition, logits * repetition)
        penalty = self._presence[at] * said + self._frequency[at] * counts
        return mx.where(said, divided, logits) - penalty

    def _recount(self, counted: Sequence[Counted], vocab_size: int) -> None:
        """Count anew the rows whose completions were changed."""
        if not self._weights.size:
            self._weights = _weights(vocab_size, self._exempt)
            self._counts = mx.zeros((len(self._rows), vocab_size))
        for i, (row, edits) in enumerate(zip(counted, self._edits, strict=True)):
            if row.completion.num_edits != edits:
                self._edits[i] = row.completion.num_edits
                self._counts[i] = self._counts_of(row)

    def _counts_of(self, row: Counted) -> mx.array:
        """How often each token was said.  (vocab,) float32"""
        counts = mx.zeros_like(self._weights)
        said = [mx.array(list(row.completion.completion_ids), mx.int32)]
        if row.pending is not None:
            said.append(row.pending)
        token_ids = mx.concatenate(said)
        if not token_ids.size:
            return counts
        return counts.at[token_ids].add(self._weights[token_ids])


def _weights(vocab_size: int, exempt: Collection[int]) -> mx.array:
    weights = mx.ones((vocab_size,))
    known = [token_id for token_id in exempt if token_id < vocab_size]
    if known:
        weights[mx.array(known)] = 0.0
    return weights


def _penalizes(p: SamplingParams) -> bool:
    return bool(p.repetition_penalty != 1 or p.presence_penalty or p.frequency_penalty)
