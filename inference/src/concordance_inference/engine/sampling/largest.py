"""Finds the largest logit of each row."""

import mlx.core as mx

from concordance_inference.engine.model import device

#: Number of neighbouring logits whose largest is found first.
_BLOCK = 32

#: Fewer logits than this, of all rows together, are not worth the additional operations.
_MANY = 2**17


def argmax(logits: mx.array) -> mx.array:
    """Return the token id of the largest logit of each row, the lowest of equal ones.

    On a CPU, mlx's argmax compares one number after the other, but its max uses SIMD instructions:
    to find the block with the largest logit, and then the logit in it, takes half the time.

        2 7 | 1 4 | 7 0    largest of each block 7 4 7, so block 0, and in it position 1: id 1

    A row that holds NaN gives the id of a NaN.

    Args:
        logits: (rows, vocab) float32

    Returns:
        (rows, 1) uint32
    """
    rows, vocab_size = logits.shape
    if device.runs_on_gpu() or vocab_size % _BLOCK or logits.size < _MANY:
        return mx.argmax(logits, axis=-1, keepdims=True)
    blocks = logits.reshape(rows, -1, _BLOCK)
    block = mx.argmax(blocks.max(axis=-1), axis=-1, keepdims=True)  # (rows, 1)
    found = mx.take_along_axis(blocks, block[:, :, None], axis=1)  # (rows, 1, _BLOCK)
    return block * _BLOCK + mx.argmax(found, axis=-1)
