"""Which tokens each row processes, and which rows share a pass. No arrays, no model."""

import msgspec
import pytest
from concordance_inference.engine.plan import PassCost, RowDemand, Sharing, StepPlan
from concordance_inference.engine.planner import plan_step
from hypothesis import given
from hypothesis import strategies as st


def shape(plan):
    """For each pass: its active rows, and the tokens computed for each."""
    return [([r.row for r in p.reads], p.num_tokens) for p in plan.passes]


def pending(cached=20):
    return RowDemand(cached, is_pending=True)


def forced(n, cached=20):
    return RowDemand(cached, list(range(n)))


def prompt(n, cached=0):
    return RowDemand(cached, list(range(n)), is_prompt=True)


def test_decoding_rows_share_a_pass():
    assert shape(plan_step([pending(13), forced(1), pending(15)], chunk=8)) == [([0, 1, 2], 1)]


def test_a_pending_token_id_comes_from_the_device():
    (pass_,) = plan_step([pending()], chunk=8).passes

    assert pass_.reads[0].token_ids is None


def test_a_prompt_is_prefilled_in_chunks_while_other_rows_decode():
    plan = plan_step([pending(), prompt(99)], chunk=80)

    assert shape(plan) == [([0], 1), ([1], 80)]
    assert [r.num_logits for p in plan.passes for r in p.reads] == [1, 0]


def test_the_last_chunk_of_a_prompt_returns_logits():
    (pass_,) = plan_step([prompt(8)], chunk=8).passes

    assert pass_.needs_logits


def test_prompts_share_the_chunk():
    plan = plan_step([prompt(5), prompt(9), prompt(4)], chunk=8, sharing=Sharing.RAGGED)

    assert shape(plan) == [([1], 3), ([0], 5)]


def test_a_chunk_ends_at_a_stop_of_the_row():
    row = msgspec.structs.replace(prompt(50, cached=10), stops=(10, 33, 60))

    assert shape(plan_step([row], chunk=40)) == [([0], 23)]


def test_forced_tokens_up_to_a_chunk_take_one_pass():
    (pass_,) = plan_step([forced(500)], chunk=500).passes

    assert (pass_.num_tokens, pass_.needs_logits) == (500, True)


@pytest.mark.parametrize(
    ("logits_from", "num_logits"), [(None, 1), (25, 1), (24, 2), (21, 5), (22, 4)]
)
def test_logits_are_returned_from_the_requested_prefix_length_on(logits_from, num_logits):
    row = msgspec.structs.replace(forced(5, cached=20), logits_from=logits_from)

    assert plan_step([row], chunk=8).passes[0].reads[0].num_logits == num_logits


def test_a_waiting_row_is_not_planned():
    assert plan_step([RowDemand(9, is_pending=True, is_waiting=True)], chunk=8).passes == ()


# Forced spans


CHEAP_TOKENS = PassCost(fixed=200, per_token=1)
CHEAP_PASSES = PassCost(fixed=5, per_token=1)


@pytest.mark.parametrize(
    ("rows", "cost", "num_tokens"),
    [
        ([forced(5)], CHEAP_PASSES, 5),  # a single row: one pass always costs less
        ([pending(), forced(5), pending()], CHEAP_TOKENS, 5),
        (
            [*[pending()] * 7, forced(5)],
            PassCost(fixed=70, per_token=2),
            1,
        ),  # 12 tokens for 150, 8 for 86
        ([*[pending()] * 7, forced(50)], PassCost(fixed=70, per_token=2), 50),
    ],
)
def test_a_forced_span_is_processed_at_the_best_rate_for_the_batch(rows, cost, num_tokens):
    plan = plan_step(rows, chunk=64, cost=cost)
    (read,) = [read for pass_ in plan.passes for read in pass_.reads if read.token_ids]

    assert (read.num_tokens, len(read.token_ids)) == (num_tokens, num_tokens)


def test_a_forced_span_processed_token_by_token_returns_logits_at_its_end_only():
    cost = PassCost(fixed=70, per_token=2)
    middle = plan_step([*[pending()] * 7, forced(5)], chunk=64, cost=cost)
    end = plan_step([*[pending()] * 7, forced(1)], chunk=64, cost=cost)

    assert [plan.passes[0].reads[-1].num_logits for plan in (middle, end)] == [0, 1]


def test_a_long_forced_span_is_prefilled_in_chunks_and_never_waits():
    rows = [prompt(100), forced(300), pending()]

    assert [read.num_tokens for p in plan_step(rows, chunk=64).passes for read in p.reads] == [
        1,  # forced: at least one, although the prompt has used up the chunk
        1,
        64,
    ]
    (alone,) = plan_step([forced(300)], chunk=64).passes
    assert alone.num_tokens == 64


def test_a_forced_span_is_processed_whole_if_rows_cannot_share_a_pass():
    rows = [*[pending()] * 7, forced(5)]
    cost = PassCost(fixed=70, per_token=2)

    assert plan_step(rows, chunk=64, cost=cost, sharing=Sharing.EQUAL).passes[-1].num_tokens == 5


# Which rows share a pass


def test_rows_are_padded_if_padding_costs_less_than_a_pass():
    rows = [pending(), pending(), forced(30), pending()]

    assert shape(plan_step(rows, chunk=64, cost=CHEAP_TOKENS)) == [([0, 1, 2, 3], 30)]
    assert shape(plan_step(rows, chunk=64, cost=CHEAP_PASSES)) == [([0, 1, 3], 1), ([2], 30)]


def test_an_idle_row_in_the_slice_has_the_length_that_earlier_passes_left():
    rows = [pending(20), prompt(30, cached=40), pending(50)]
    decode, long = plan_step(rows, chunk=64).passes

    assert (decode.first, decode.starts) == (0, (20, 40, 50))
    assert (long.first, long.starts) == (1, (40,))

    rows = [prompt(3, cached=20), pending(40), prompt(3, cached=50)]
    decode, long = plan_step(rows, chunk=64, sharing=Sharing.RAGGED).passes

    assert (decode.first, decode.starts) == (1, (40,))
    assert (long.first, long.starts) == (0, (20, 41, 50))


def test_distant_rows_do_not_share_a_pass_if_the_idle_rows_between_cost_more():
    rows = [prompt(50), *[pending()] * 6, prompt(50)]

    assert shape(plan_step(rows, chunk=128)) == [
        ([1, 2, 3, 4, 5, 6], 1),
        ([0], 50),
        ([7], 50),
    ]


def test_ragged_sharing_joins_equal_numbers_of_tokens_only():
    rows = [pending(), forced(2), forced(2), pending()]

    assert shape(plan_step(rows, chunk=8, sharing=Sharing.RAGGED)) == [([0, 3], 1), ([1, 2], 2)]


def test_ragged_sharing_joins_rows_below_the_warm_length_only_at_equal_length():
    rows = [prompt(4), prompt(4), forced(4, cached=3), forced(4, cached=9), forced(4, cached=30)]

    assert shape(plan_step(rows, chunk=99, sharing=Sharing.RAGGED)) == [
        ([0, 1], 4),
        ([2], 4),
        ([3, 4], 4),
    ]


def test_equal_sharing_joins_neighbours_of_equal_length_and_number_of_tokens():
    rows = [prompt(4), prompt(4), prompt(5), prompt(4, cached=2), prompt(4, cached=2)]

    assert shape(plan_step(rows, chunk=99, sharing=Sharing.EQUAL)) == [
        ([0, 1], 4),
        ([3, 4], 4),
        ([2], 5),
    ]


def test_without_sharing_each_row_has_a_pass_of_its_own():
    plan = plan_step([pending(), pending()], chunk=8, sharing=Sharing.ALONE)

    assert shape(plan) == [([0], 1), ([1], 1)]


def test_a_plan_survives_serialization():
    plan = plan_step([pending(), prompt(20), forced(3)], chunk=8)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plan), type=StepPlan) == plan


rows = st.lists(
    st.one_of(
        st.builds(RowDemand, st.integers(0, 9), is_pending=st.just(True), is_waiting=st.booleans()),
        st.builds(
            RowDemand,
            st.integers(0, 9),
            st.lists(st.integers(0, 9), min_size=1, max_size=12),
            is_prompt=st.booleans(),
        ),
    ),
    min_size=1,
    max_size=6,
)


@given(rows=rows, chunk=st.integers(1, 20), sharing=st.sampled_from(Sharing))
def test_each_row_is_planned_at_most_once_from_its_cache_length_and_within_the_chunk(
    rows, chunk, sharing
):
    plan = plan_step(rows, chunk=chunk, sharing=sharing)
    reads = [read for pass_ in plan.passes for read in pass_.reads]
    known = 0

    assert len({read.row for read in reads}) == len(reads)
    for read in reads:
        row = rows[read.row]
        assert not row.is_waiting
        assert read.start == row.num_cached
        if read.token_ids is not None:
            assert list(read.token_ids) == list(row.token_ids[: read.num_tokens])
            assert bool(read.num_logits) == (read.num_tokens == len(row.token_ids))
            if len(row.token_ids) > 1 and (row.is_prompt or read.num_tokens > 1):
                known += read.num_tokens
    assert known <= chunk
    assert reads or all(row.is_waiting for row in rows)


@given(rows=rows, sharing=st.sampled_from(Sharing))
def test_each_pass_covers_a_slice_of_rows_with_their_current_lengths(rows, sharing):
    lengths = [row.num_cached for row in rows]

    for pass_ in plan_step(rows, chunk=9, sharing=sharing).passes:
        assert [r.row for r in pass_.reads] == sorted(r.row for r in pass_.reads)
        assert list(pass_.starts) == lengths[pass_.rows]
        for read in pass_.reads:
            assert pass_.starts[read.row - pass_.first] == read.start
            lengths[read.row] += read.num_tokens
        if sharing < Sharing.PADDED:
            assert len({read.num_tokens for read in pass_.reads}) == 1
        if sharing is Sharing.EQUAL:
            assert len(set(pass_.starts)) == 1


def test_padding_costs_more_if_a_row_has_a_long_context():
    rows = [pending(10), forced(3, cached=4000)]
    flat = PassCost(fixed=10, per_token=1)
    by_length = PassCost(fixed=10, per_token=1, per_attended=0.01)

    assert len(plan_step(rows, chunk=8, cost=flat).passes) == 1
    assert len(plan_step(rows, chunk=8, cost=by_length).passes) == 2
