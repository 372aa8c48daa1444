"""The top-k logits of a row, their order, and how they are found without sorting the row."""

import math
from unittest.mock import patch

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.sampling.logits_row import LogitsRow, RowSource
from concordance_inference.engine.sampling.logprobs import Logprobs
from concordance_inference.engine.sampling.top_tokens import top_tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from launches import launches

VOCAB = 151_936

#: float32 values up to which mlx sorts a row in one kernel on a GPU.
ONE_KERNEL = 4096


def best_of(rows, k):
    """Sort stably in numpy: of equal logits, the lowest id first."""
    return np.argsort(-rows.astype(np.float64), axis=-1, kind="stable")[:, :k]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 400),
    st.integers(1, 30),
    st.integers(1, 3),
    st.sampled_from([0.02, 1.0, 50.0]),
    st.sampled_from([0.0, 0.5, 0.99]),
    st.integers(0, 2**32 - 1),
)
def test_top_tokens_equal_those_of_a_stable_sort(vocab_size, k, num_rows, scale, banned, seed):
    random = np.random.default_rng(seed)
    rows = np.round(random.normal(size=(num_rows, vocab_size)) * scale).astype(np.float32)
    rows[random.random(rows.shape) < banned] = -np.inf

    token_ids, logits = top_tokens(mx.array(rows), min(k, vocab_size))

    expected = best_of(rows, k)
    assert np.array(token_ids).tolist() == expected.tolist()
    assert np.array_equal(np.array(logits), np.take_along_axis(rows, expected, axis=-1))


@pytest.mark.parametrize("k", [1, 2, 20, 1000])
def test_equal_logits_in_16_bits_are_ordered_by_id(k):
    row = mx.random.normal((1, VOCAB), key=mx.random.key(0)) * 4
    row = row.astype(mx.bfloat16).astype(mx.float32)

    token_ids, _ = top_tokens(row, k)

    assert np.array(token_ids).tolist() == best_of(np.array(row), k).tolist()


def test_a_row_with_nan_returns_ids_of_the_vocabulary():
    row = np.full((1, 1001), -np.inf, np.float32)
    row[0, ::7] = np.nan

    token_ids, _ = top_tokens(mx.array(row), 30)

    assert max(np.array(token_ids)[0]) <= 1000


def test_the_first_alternative_is_the_greedy_token():
    rows = np.zeros((1, 5000), np.float32)
    rows[0, [4000, 3999, 77, 2500]] = 3.0

    (entry,) = Logprobs(mx.array(rows), mx.array([77]), 2).read()

    assert [token_id for token_id, _ in entry.top] == [77, 2500]


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_no_sort_is_longer_than_one_kernel_handles(k, tmp_path):
    lengths = []

    def recorded(name):
        function = getattr(mx, name)

        def record(array, *args, **kwargs):
            lengths.append(array.shape[-1])
            return function(array, *args, **kwargs)

        return patch.object(mx, name, record)

    rows = mx.zeros((2, VOCAB))
    with recorded("sort"), recorded("argsort"), recorded("topk"), recorded("argpartition"):
        graph = top_tokens(rows, k)
        LogitsRow(RowSource(rows, 0)).top_k(k)
        LogitsRow(RowSource(rows, 0)).margin(k)
        Logprobs(rows, mx.array([1, 2]), k).read()

    assert 0 < max(lengths) <= ONE_KERNEL
    assert launches(graph, tmp_path) <= 16


@pytest.mark.parametrize("k", [1, 3, 40])
def test_a_row_without_tokens_has_infinite_margin(k):
    row = LogitsRow(RowSource(mx.full((1, 40), -math.inf), 0))

    assert row.margin(k) == math.inf
