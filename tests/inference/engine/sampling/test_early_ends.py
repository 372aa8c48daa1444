"""Masking the tokens that would end a completion before its `min_tokens`."""

import mlx.core as mx
from concordance_inference.engine.sampling.early_ends import Ending, without_early_ends


def banned(logits):
    return [[i for i, value in enumerate(row) if value == -mx.inf] for row in logits.tolist()]


def test_only_rows_that_are_too_short_lose_their_ends():
    logits = mx.zeros((4, 5))
    endings = [Ending(2, 3, {1, 4}), None, Ending(3, 3, {1}), Ending(0, 1, {2, 9})]

    assert banned(without_early_ends(logits, endings)) == [[1, 4], [], [], [2]]
    assert banned(logits) == [[], [], [], []]


def test_logits_are_returned_as_they_are_if_no_row_is_too_short():
    logits = mx.zeros((1, 5))

    assert without_early_ends(logits, [Ending(3, 3, {1})]) is logits
    assert without_early_ends(logits, [Ending(0, 3, set())]) is logits
