"""Masks of the vocabulary: the forms in which a mod may give one, and the packed form.

A packed mask has one bit per token: token i is allowed if bit `i % 8` of byte `i // 8` is set. An
unpacked one has one bool per token. No array library: arrays are read as buffers.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

#: Cache size of the functions below. A mod often gives the same mask at each position, and scanning
#: one takes 40 us: the forward pass has evicted it from the CPU cache.
_NUM_MASKS = 16

#: Masks in words of 64 bits, as grammars make them, are packed masks too.
_WORD_BITS = 64

#: The bytes of a buffer of bools as the characters of a binary number.
_DIGITS = bytes([ord("0"), *[ord("1")] * 255])

_PACK = "numpy.packbits(mask, bitorder='little')"


def packed_mask(mask: object, vocab_size: int, num_logits: int) -> bytes:
    """Return a mask in packed form, trimmed to the vocabulary.

    Args:
        mask: One bool for each token or logit: a numpy or mlx array of bools, or a sequence. Or
            packed: bytes, or any buffer.
        vocab_size: The number of valid token ids.
        num_logits: The length of a row of logits, which may be padded.

    Raises:
        ValueError: It has another form or length, or allows no token.

    Examples:
        >>> packed_mask([True, False, True], 3, 3) == packed_mask(bytes([0b101]), 3, 3)
        True
    """
    flags = _flags(mask)
    if flags is None:
        packed = mask if type(mask) is bytes else _bytes_of(mask)
        _check_packed_length(packed, vocab_size, num_logits)
    else:
        if len(flags) not in (vocab_size, num_logits):
            raise ValueError(f"a mask of {len(flags)} bools for a vocabulary of {vocab_size}")
        packed = _packed(flags)
    return _trimmed(packed, vocab_size)


def _flags(mask: object) -> bytes | None:
    """Return the bools of an unpacked mask, one byte each; `None` for other forms."""
    if isinstance(mask, list | tuple):
        values = cast(Sequence[object], mask)
        if not values or any(type(value).__name__ not in ("bool", "bool_") for value in values):
            raise ValueError(
                f"a sequence that is not of bools (one bool for each token, or pack it: {_PACK})"
            )
        return bytes(map(bool, values))
    if isinstance(mask, bytes | bytearray):
        return None
    buffer = _buffer(mask)
    is_row = all(size == 1 for size in (buffer.shape or ())[:-1])
    if buffer.format != "?" or not is_row:
        return None
    return buffer.tobytes()


def _bytes_of(mask: object) -> bytes:
    buffer = _buffer(mask)
    if buffer.format == "?":
        raise ValueError(f"bools of shape {buffer.shape} instead of one for each token")
    return buffer.tobytes()


def _buffer(mask: object) -> memoryview:
    try:
        return memoryview(cast(bytes, mask))
    except TypeError:
        raise ValueError(f"type {type(mask).__name__}, not bools or packed bytes") from None


def _check_packed_length(packed: bytes, vocab_size: int, num_logits: int) -> None:
    least = -(-vocab_size // 8)
    # llguidance makes masks for one more token, padded to whole words.
    most = -(-(max(vocab_size, num_logits) + 1) // _WORD_BITS) * _WORD_BITS // 8
    if least <= len(packed) <= most:
        return
    if len(packed) % vocab_size == 0 or len(packed) % num_logits == 0:
        raise ValueError(
            f"{len(packed)} bytes, as one number for each token (use bools, or pack it: {_PACK})"
        )
    raise ValueError(
        f"{len(packed)} bytes, too {'short' if len(packed) < least else 'long'} for a vocabulary "
        f"of {vocab_size} tokens ({least} bytes)"
    )


@lru_cache(_NUM_MASKS)
def _packed(flags: bytes) -> bytes:
    """Pack one byte per token into one bit per token.

    As digits of a binary number, whose conversion takes linear time: 0.2 ms for 150,000 tokens.
    """
    return int(flags.translate(_DIGITS)[::-1], 2).to_bytes(-(-len(flags) // 8), "little")


@lru_cache(_NUM_MASKS)
def _trimmed(packed: bytes, vocab_size: int) -> bytes:
    """Trim a mask to the vocabulary and check that it allows a token."""
    num_bytes = -(-vocab_size // 8)
    spare = num_bytes * 8 - vocab_size  # unused high bits of the last byte
    packed = packed[:num_bytes]
    if packed[-1] >> (8 - spare):
        packed = packed[:-1] + bytes([packed[-1] & (0xFF >> spare)])
    if not packed.strip(b"\0"):
        raise ValueError("nothing but 0, which leaves no token to sample")
    return packed
