"""Sampling of one position in float64, written from `SamplingParams` and `sampling/noise.py`."""

import numpy as np

_MASK = 2**64 - 1
_HALF = np.uint64(2**32 - 1)
_XTC = 0x5851F42D4C957F2D

#: Below this temperature sampling is greedy.
_GREEDY = 1e-6


def penalized(row, ids, sampling, exempt=()):
    """Add a request's bias to a row, then apply its penalties to the tokens of the completion.

    Args:
        row: The logits.
        ids: The completion.
        sampling: The parameters.
        exempt: Control tokens, which are never penalized.
    """
    row = row.copy()
    ids = [token_id for token_id in ids if token_id not in exempt]
    for token_id, bias in sampling.logit_bias.items():
        row[token_id] += bias
    counts = np.bincount(ids, minlength=len(row)) if ids else np.zeros(len(row))
    occurs, factor = counts > 0, sampling.repetition_penalty
    row = np.where(occurs, np.where(row > 0, row / factor, row * factor), row)
    return row - sampling.presence_penalty * occurs - sampling.frequency_penalty * counts


def adjusted(row, change):
    """Apply one `AdjustedLogits`: its own row first, then bias, ban, allow and mask."""
    row = np.array(change.get("row", row), np.float64)
    for token_id, bias in change.get("bias", {}).items():
        row[int(token_id)] += bias
    row[list(change.get("ban", ()))] = -np.inf
    for allowed in [change[key] for key in ("allow", "mask") if key in change]:
        row[np.setdiff1d(np.arange(len(row)), allowed)] = -np.inf
    return row


def sample(row, temperature, sampling, index):
    """Sample with draw number `index` of a request.

    Returns:
        The token; its margin, which is the smallest change of the row that could change the token;
        and its log-probability under the distribution that it was sampled from.
    """
    if temperature < _GREEDY:
        return *_best(row), 0.0
    margins = []

    def keep(stays, margin):
        nonlocal row
        row = np.where(stays, row, -np.inf)
        margins.append(margin)

    row = (row - row.max()) / temperature
    if 0 < sampling.top_k < len(row):
        limit, following = np.sort(row)[::-1][sampling.top_k - 1 : sampling.top_k + 1]
        keep(row >= limit, _gap(limit, following))
    if sampling.top_p < 1:
        order = np.sort(row)[::-1]
        before = np.cumsum(softmax(order)) - softmax(order)
        limit = order[max(1, int((before < sampling.top_p).sum())) - 1]
        keep(row >= limit, abs(before - sampling.top_p).min())
    if sampling.min_p:
        limit = row.max() + np.log(sampling.min_p)
        keep(row >= limit, abs(row - limit).min())
    if _uniform(sampling.seed ^ _XTC, index) < sampling.xtc_probability:
        probs = softmax(row)
        top = (probs >= sampling.xtc_threshold) & (probs > 0)
        least = probs[top].min(initial=1)
        near = np.abs(np.where(probs == least, 1, probs - least)).min()  # nearly the least probable
        margin = min(near, abs(probs - sampling.xtc_threshold).min())
        keep(~(top & (probs > least)), margin)
    token_id, margin = _best(row + gumbel(sampling.seed, index, len(row)))
    return token_id, min([margin, *margins]), float(log_softmax(row)[token_id])


def seed_of_choice(seed, index):
    """Return the seed of a choice: number `index` of the generator SplitMix64."""
    if index == 0:
        return seed
    state = seed
    for _ in range(index):
        state = (state + 0x9E3779B97F4A7C15) & _MASK
    value = _mixed(state)
    return value - 2**64 if value >> 63 else value


def gumbel(seed, index, vocab_size):
    """Return the noise of each token in one draw.  (vocab,) float64"""
    key = draw_key(seed, index)
    low, high = np.uint64(key & 0xFFFFFFFF), np.uint64(key >> 32)
    x = (np.arange(vocab_size, dtype=np.uint64) * np.uint64(0x9E3779B9) + low) & _HALF
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x7FEB352D)) & _HALF
    x = x ^ high
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(0x846CA68B)) & _HALF
    bits = (x ^ (x >> np.uint64(16))).astype(np.float64)
    return -np.log(-np.log1p(-np.minimum((bits + 0.5) / 2**32, 1 - 2**-24)))


def draw_key(seed, index):
    """Return 64 bits: SplitMix64 over a counter."""
    return _mixed((seed * 0x9E3779B97F4A7C15 + (index + 1) * 0xD1B54A32D192ED03) & _MASK)


def _mixed(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def log_softmax(row):
    """Return log-probabilities.  (vocab,) float64"""
    row = np.asarray(row, np.float64)
    return row - row.max() - np.log(np.exp(row - row.max()).sum())


def softmax(row):
    """Return probabilities.  (vocab,) float64"""
    return np.exp(log_softmax(row))


def _uniform(seed, index):
    return (draw_key(seed, index) >> 40) / 2**24


def _best(row):
    second, first = np.sort(row)[-2:]
    return int(np.argmax(row)), float(_gap(first, second))


def _gap(high, low):
    return np.inf if np.isneginf(low) else high - low
