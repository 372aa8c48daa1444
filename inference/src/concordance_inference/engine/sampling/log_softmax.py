"""Log-probabilities from logits, exact to 1e-5 for any size of vocabulary.

mlx's `logsumexp` adds the exponentials of a whole row to a few float32 sums on a CPU. Once a sum is
large, each addition rounds, and always in the same direction if the logits are equal: for 262,144
tokens the error reaches 3e-3. Here a row is cut into about sqrt(vocab) blocks, as in pairwise
summation, so that no sum has more than about sqrt(vocab) terms.
"""

import math
from functools import lru_cache

import mlx.core as mx


def log_softmax_at(logits: mx.array, token_ids: mx.array) -> mx.array:
    """Compute the log-probabilities of some tokens of each row.

    Args:
        logits: (rows, vocab) float32
        token_ids: (rows, n) int32

    Returns:
        (rows, n) float32; -inf for tokens whose logit is -inf, NaN for a row with NaN
    """
    reference, log_sum = normalizer(logits)
    return mx.take_along_axis(logits, token_ids, axis=-1) - reference - log_sum


def normalizer(logits: mx.array) -> tuple[mx.array, mx.array]:
    """Return what to subtract from logits to get log-probabilities, as two summands.

    Subtracting a large summand first is exact: logits of 200 are 1.5e-5 apart in float32, the
    differences to one that is about the largest are not.

    Args:
        logits: (rows, vocab) float32

    Returns:
        (rows, 1) float32 each: about the largest logit, and the rest.
    """
    by_block = mx.logsumexp(in_blocks(logits, fill=-math.inf), axis=-1)
    reference = by_block.max(axis=-1, keepdims=True)
    return reference, mx.logsumexp(by_block - reference, axis=-1, keepdims=True)


def in_blocks(values: mx.array, *, fill: float) -> mx.array:
    """Cut each row into blocks.  (rows, n) -> (rows, blocks, width)

    Args:
        values: (rows, n)
        fill: Fills the last block if the blocks do not divide the row.
    """
    rows, size = values.shape
    width = _width(size)
    if missing := -size % width:
        values = mx.pad(values, [(0, 0), (0, missing)], constant_values=fill)
    return values.reshape(rows, -1, width)


@lru_cache(16)
def _width(size: int) -> int:
    """Return a block width near sqrt(size): one that divides the row, if there is one.

    151,936 = 128 x 1,187 is cut into 1,187 blocks of 128; 50,257 = 29 x 1,733 into 225 of 224,
    padded.
    """
    root = math.isqrt(size)
    least = max(root // 4, 1)
    return next((width for width in range(root, least, -1) if size % width == 0), max(root, 1))
