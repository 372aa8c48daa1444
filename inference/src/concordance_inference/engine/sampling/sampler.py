"""Samples a token for each row from its logits, its parameters and the key of its draw."""

from collections.abc import Collection, Mapping, Sequence

import mlx.core as mx

from concordance_inference.engine.model import device
from concordance_inference.engine.sampling.filters import (
    above,
    min_p_floor,
    rank_floor,
    without_top_choices,
)
from concordance_inference.engine.sampling.fused import fused
from concordance_inference.engine.sampling.largest import argmax
from concordance_inference.engine.sampling.noise import (
    id_array,
    key_array,
    negative_gumbel,
    noise_bits,
)
from concordance_inference.engine.sampling.rng import NO_TOKEN, TOO_FEW
from concordance_inference.engine.sampling.row_ops import apply_rows, put_rows, take_rows
from concordance_inference.engine.sampling.sampled_logprobs import greedy_logprobs, with_drawn
from concordance_inference.generation import SamplingParams

_ALL = 2**31 - 1

#: Below this temperature a row is greedy: divided by it, a difference of 1e-6, the last bit of a
#: logit of 10, is as large as the noise. Dividing by a smaller number could overflow float32.
MIN_TEMPERATURE = 1e-6


class Sampler:
    """Samples for the rows of a batch, each with its own parameters.

    A greedy row costs one argmax. Only rows that draw get noise, and only those with top-k or
    top-p are sorted.
    """

    def __init__(
        self,
        params: Sequence[SamplingParams],
        exempt: Collection[int] = (),
        num_candidates: int | None = None,
    ) -> None:
        """Lay out the rows' parameters.

        Args:
            params: One for each row of the batch.
            exempt: Tokens that XTC never drops.
            num_candidates: Highest logits to sort for top-k and top-p; `None`: by device.
        """
        self._params = list(params)
        self.is_greedy = not any(p.temperature >= MIN_TEMPERATURE for p in params)  # no row draws
        self._exempt = list(exempt)
        self._num_candidates = num_candidates

    @property
    def has_xtc(self) -> bool:
        """True if any row needs a second draw."""
        return any(p.xtc_probability for p in self._params)

    def best(self, logits: mx.array) -> mx.array:
        """Return the most probable token of each row, or `NO_TOKEN`.  (n,) int32"""
        return _best(logits)

    def sample(
        self,
        logits: mx.array,
        rows: Sequence[int],
        keys: Sequence[int] = (),
        xtc_draws: Sequence[float] = (),
        temperatures: Mapping[int, float] | None = None,
        whole: Collection[int] = (),
    ) -> mx.array:
        """Sample a token for each row of logits; `NO_TOKEN` if none can be sampled.

        See `sample_with_logprobs`.
        """
        return self.sample_with_logprobs(logits, rows, keys, xtc_draws, temperatures, whole)[0]

    def sample_with_logprobs(
        self,
        logits: mx.array,
        rows: Sequence[int],
        keys: Sequence[int] = (),
        xtc_draws: Sequence[float] = (),
        temperatures: Mapping[int, float] | None = None,
        whole: Collection[int] = (),
        asked: Collection[int] = (),
    ) -> tuple[mx.array, mx.array | None]:
        """Sample a token for each row, and compute its log-probability for those in `asked`.

        Temperature first, then top-k, top-p, min-p and XTC, then the draw: the largest sum of a
        logit and its Gumbel noise (see `noise`). Of equal sums, and of equal logits of a greedy
        row, the lowest token id wins.

        For top-k and top-p, only the `num_candidates` highest logits are sorted. If they turn out
        to be too few, which is rare, the token is `TOO_FEW`: sample the row again as one of
        `whole`.

        Args:
            logits: (n, vocab) float32
            rows: The row of the batch that each belongs to.
            keys: The key of each draw (`draw_key`); not needed if all rows are greedy.
            xtc_draws: A number in [0, 1) for each; not needed if no row uses XTC.
            temperatures: By row of the batch, instead of the row's own. A row is greedy below
                `MIN_TEMPERATURE`.
            whole: Rows of the batch for which all logits are sorted.
            asked: Rows of the batch whose log-probabilities are computed, under the distribution
                that is sampled from.

        Returns:
            (n,) int32, and (n,) float32: 0 for a greedy row, NaN for a row that is not in `asked`;
            `None` if none is.
        """
        params = [self._params[row] for row in rows]
        own = zip(rows, params, strict=True)
        own_or_given = [(temperatures or {}).get(row, p.temperature) for row, p in own]
        drawn = [i for i, temperature in enumerate(own_or_given) if temperature >= MIN_TEMPERATURE]
        best = _best(logits)
        are_asked = [row in asked for row in rows]
        logprobs = greedy_logprobs(are_asked)
        if not drawn:
            return best, logprobs
        scaled = _scaled(take_rows(logits, drawn), [own_or_given[i] for i in drawn])
        chosen = [params[i] for i in drawn]
        few = self._num_candidates or device.default_candidates()
        if few is not None and few >= logits.shape[-1]:
            few = None
        candidates = [None if rows[i] in whole else few for i in drawn]
        kept, is_certain = _filtered(scaled, chosen, candidates)
        if xtc_draws:
            kept = self._by_xtc(kept, chosen, [xtc_draws[i] for i in drawn])
        token_ids = _drawn(kept, [keys[i] for i in drawn])
        if logprobs is not None:
            logprobs = with_drawn(logprobs, are_asked, drawn, kept, token_ids)
        if is_certain is not None:
            token_ids = mx.where(is_certain, token_ids, TOO_FEW)
        return put_rows(best, drawn, token_ids), logprobs

    def _by_xtc(
        self, logits: mx.array, params: Sequence[SamplingParams], draws: Sequence[float]
    ) -> mx.array:
        on = [i for i, p in enumerate(params) if draws[i] < p.xtc_probability]
        threshold = mx.array([params[i].xtc_threshold for i in on])
        exempt = mx.zeros((logits.shape[-1],), mx.bool_)
        if self._exempt:
            exempt[mx.array(self._exempt)] = True
        return apply_rows(logits, on, lambda s: without_top_choices(s, threshold, exempt))


def _filtered(
    scaled: mx.array, params: Sequence[SamplingParams], candidates: Sequence[int | None]
) -> tuple[mx.array, mx.array | None]:
    """Apply top-k, top-p and min-p to logits whose largest is 0.

    Args:
        scaled: (rows, vocab) float32
        params: One for each row.
        candidates: Highest logits to sort of each row; `None`: all.

    Returns:
        (rows, vocab) float32, and (rows,) bool: which rows are certain; `None` if all are.
    """
    rows = [i for i, p in enumerate(params) if _ranks(p) or p.min_p]
    if not rows:
        return scaled, None
    floor, is_certain = _floor(
        take_rows(scaled, rows), [params[i] for i in rows], [candidates[i] for i in rows]
    )
    kept = apply_rows(scaled, rows, lambda s: above(s, floor))
    if is_certain is None:
        return kept, None
    return kept, put_rows(mx.ones((len(params),), mx.bool_), rows, is_certain)


def _floor(
    scaled: mx.array, params: Sequence[SamplingParams], candidates: Sequence[int | None]
) -> tuple[mx.array, mx.array | None]:
    """Return the least logit that top-k, top-p and min-p keep in each row.

    Rows with equal numbers of candidates are sorted together: at most two groups.

    Returns:
        (rows, 1) float32, and (rows,) bool: which rows are certain; `None` if all are.
    """
    floor = mx.array([min_p_floor(p.min_p) for p in params])[:, None]
    is_certain: mx.array | None = None
    for num_candidates in {*candidates}:
        rows = [i for i, p in enumerate(params) if _ranks(p) and candidates[i] == num_candidates]
        if not rows:
            continue
        by_rank, certain = rank_floor(
            take_rows(scaled, rows),
            [params[i].top_k or _ALL for i in rows],
            [params[i].top_p for i in rows],
            num_candidates=num_candidates,
        )
        floor = put_rows(floor, rows, _higher(take_rows(floor, rows), by_rank, params, rows))
        if num_candidates is not None:
            is_certain = put_rows(mx.ones((len(params),), mx.bool_), rows, certain)
    return floor, is_certain


def _higher(
    floor: mx.array, by_rank: mx.array, params: Sequence[SamplingParams], rows: Sequence[int]
) -> mx.array:
    return mx.maximum(floor, by_rank) if any(params[i].min_p for i in rows) else by_rank


def _ranks(p: SamplingParams) -> bool:
    return bool(p.top_k) or p.top_p < 1


def _scaled(logits: mx.array, temperatures: Sequence[float]) -> mx.array:
    """Subtract the maximum and divide by the temperature.  (rows, vocab) float32

    The maximum becomes 0, which `min_p_floor` relies on. In a row that holds NaN or +inf, or
    nothing but -inf, it becomes NaN, which `_checked` detects.
    """
    divisor = mx.array(list(temperatures))[:, None]
    return _divided(logits, logits.max(axis=-1, keepdims=True), divisor)


@fused
def _divided(logits: mx.array, largest: mx.array, temperatures: mx.array) -> mx.array:
    return (logits - largest) / temperatures


def _best(logits: mx.array) -> mx.array:
    """Return the token id of the largest logit, or `NO_TOKEN`.  (rows, vocab) -> (rows,) int32"""
    best = argmax(logits)
    return _checked(best, mx.take_along_axis(logits, best, axis=-1))[:, 0]


def _drawn(scaled: mx.array, keys: Sequence[int]) -> mx.array:
    """Draw a token id for each row.  (rows, vocab) -> (rows,) int32"""
    return _best(_with_noise(scaled, id_array(scaled.shape[-1]), key_array(keys)))


@fused
def _with_noise(scaled: mx.array, ids: mx.array, keys: mx.array) -> mx.array:
    return scaled - negative_gumbel(noise_bits(ids, keys))


@fused
def _checked(token_ids: mx.array, found: mx.array) -> mx.array:
    """Replace tokens whose logit is not finite by `NO_TOKEN`.  (rows, 1) int32"""
    return mx.where(mx.abs(found) < mx.inf, token_ids.astype(mx.int32), NO_TOKEN)
