"""Masks of the vocabulary, packed and as bools."""

import mlx.core as mx
import numpy as np
import pytest
from concordance_shared.masks import packed_mask
from hypothesis import given
from hypothesis import strategies as st

VOCAB = 300
FLAGS = [i % 3 == 0 for i in range(VOCAB)]
PACKED = np.packbits(FLAGS, bitorder="little").tobytes()

FORMS = {
    "list of bools": FLAGS,
    "tuple of numpy bools": tuple(np.array(FLAGS)),
    "numpy bools": np.array(FLAGS),
    "row of a batch": np.array([FLAGS]),
    "every second bool of an array": np.repeat(FLAGS, 2)[::2],
    "mlx bools": mx.array(FLAGS),
    "bools as long as padded logits": np.array([*FLAGS, *[True] * 20]),
    "packed bytes": PACKED,
    "packed bytearray": bytearray(PACKED),
    "packed numpy bytes": np.frombuffer(PACKED, np.uint8),
    "packed mlx bytes": mx.array(np.frombuffer(PACKED, np.uint8)),
    "packed words": np.frombuffer(PACKED.ljust(40, b"\xff"), np.int32)[None],
}


def packed(mask, vocab_size=VOCAB, num_logits=VOCAB + 20):
    return packed_mask(mask, vocab_size, num_logits)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_mask_is_packed(form):
    assert packed(FORMS[form]) == PACKED


@given(st.lists(st.booleans(), min_size=1, max_size=70).filter(any))
def test_bools_are_packed_as_numpy_packs_them(flags):
    expected = np.packbits(flags, bitorder="little").tobytes()

    assert packed(flags, len(flags), len(flags)) == expected
    assert packed(np.array(flags), len(flags), len(flags)) == expected


def test_a_mask_for_one_more_token_than_whole_words_hold_is_accepted():
    assert packed(bytes([1, 0, 0, 0, 255, 255, 255, 255]), 32, 32) == bytes([1, 0, 0, 0])


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.array(FLAGS, np.uint8), "300 bytes, as one number for each token .use bools, or pack"),
        (np.array(FLAGS, np.int64), "2400 bytes, as one number for each token"),
        (np.array(FLAGS, np.float32), "1200 bytes, as one number for each token"),
        (bytes(FLAGS), "numpy.packbits"),
        ([1, 0] * 150, "not of bools"),
        ([], "not of bools"),
        (FLAGS[:-1], "299 bools for a vocabulary of 300"),
        (np.array([FLAGS, FLAGS]), "bools of shape"),
        (np.bool_(True), "1 bools for a vocabulary of 300"),
        (PACKED[:-1], "37 bytes, too short for a vocabulary of 300 tokens"),
        (PACKED + bytes(20), "58 bytes, too long for a vocabulary of 300 tokens"),
        ("yes", "type str, not bools or packed bytes"),
        ({1: True}, "type dict, not bools or packed bytes"),
        (7, "type int, not bools or packed bytes"),
        ([False] * VOCAB, "leaves no token"),
        (bytes(38), "leaves no token"),
    ],
)
def test_other_masks_are_refused(mask, words):
    with pytest.raises(ValueError, match=words):
        packed(mask)


def test_a_buffer_that_was_changed_is_read_again():
    mask = np.array(FLAGS)
    before = packed(mask)
    mask[:] = True

    assert (before, packed(mask)) == (PACKED, b"\xff" * 37 + b"\x0f")
