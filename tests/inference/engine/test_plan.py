"""What a step reads, and who shares a pass. No arrays, no model."""

import msgspec
import pytest
from concordance_inference.engine.plan import PassCost, RowDemand, Sharing, StepPlan, plan_step
from hypothesis import given
from hypothesis import strategies as st


def shape(plan):
    """Per pass: the rows that read, and how many tokens are computed for each."""
    return [([r.row for r in p.reads], p.num_tokens) for p in plan.passes]


def pending(cached=20):
    return RowDemand(cached, is_pending=True)


def forced(n, cached=20):
    return RowDemand(cached, list(range(n)))


def prompt(n, cached=0):
    return RowDemand(cached, list(range(n)), is_prompt=True)


def test_rows_that_decode_share_a_pass():
    assert shape(plan_step([pending(13), forced(1), pending(15)], chunk=8)) == [([0, 1, 2], 1)]


def test_a_pending_token_is_read_on_the_device():
    (pass_,) = plan_step([pending()], chunk=8).passes

    assert pass_.reads[0].token_ids is None


def test_a_prompt_is_read_in_chunks_beside_rows_that_decode():
    plan = plan_step([pending(), prompt(99)], chunk=80)

    assert shape(plan) == [([0], 1), ([1], 80)]
    assert [r.num_scored for p in plan.passes for r in p.reads] == [1, 0]


def test_the_last_chunk_of_a_prompt_is_scored():
    (pass_,) = plan_step([prompt(8)], chunk=8).passes

    assert pass_.is_scored


def test_several_prompts_share_the_chunk():
    plan = plan_step([prompt(5), prompt(9), prompt(4)], chunk=8, sharing=Sharing.RAGGED)

    assert shape(plan) == [([1], 3), ([0], 5)]


def test_a_chunk_ends_where_the_row_wants_to_pause():
    row = msgspec.structs.replace(prompt(50, cached=10), stops=(10, 33, 60))

    assert shape(plan_step([row], chunk=40)) == [([0], 23)]


def test_forced_tokens_are_one_pass_as_far_as_a_chunk_goes():
    (pass_,) = plan_step([forced(500)], chunk=500).passes

    assert (pass_.num_tokens, pass_.is_scored) == (500, True)


@pytest.mark.parametrize(("scores_from", "scored"), [(None, 1), (25, 1), (24, 2), (21, 5), (22, 4)])
def test_as_many_positions_are_scored_as_are_wanted(scores_from, scored):
    row = msgspec.structs.replace(forced(5, cached=20), scores_from=scores_from)

    assert plan_step([row], chunk=8).passes[0].reads[0].num_scored == scored


def test_a_row_that_waits_reads_nothing():
    assert plan_step([RowDemand(9, is_pending=True, is_waiting=True)], chunk=8).passes == ()


# What mods forced


CHEAP_TOKENS = PassCost(fixed=200, per_token=1)
CHEAP_PASSES = PassCost(fixed=5, per_token=1)


@pytest.mark.parametrize(
    ("rows", "cost", "num_tokens"),
    [
        ([forced(5)], CHEAP_PASSES, 5),  # alone, one pass for all is always less
        ([pending(), forced(5), pending()], CHEAP_TOKENS, 5),
        ([*[pending()] * 7, forced(5)], PassCost(fixed=70, per_token=2), 1),  # 5 cost 7 others'
        ([*[pending()] * 7, forced(50)], PassCost(fixed=70, per_token=2), 50),
    ],
)
def test_a_forced_span_is_read_as_lets_the_batch_go_on_fastest(rows, cost, num_tokens):
    plan = plan_step(rows, chunk=64, cost=cost)
    (read,) = [read for pass_ in plan.passes for read in pass_.reads if read.token_ids]

    assert (read.num_tokens, len(read.token_ids)) == (num_tokens, num_tokens)


def test_a_span_that_is_read_token_by_token_is_scored_at_its_end():
    cost = PassCost(fixed=70, per_token=2)
    begun = plan_step([*[pending()] * 7, forced(5)], chunk=64, cost=cost)
    ended = plan_step([*[pending()] * 7, forced(1)], chunk=64, cost=cost)

    assert [plan.passes[0].reads[-1].num_scored for plan in (begun, ended)] == [0, 1]


def test_a_long_span_is_read_in_chunks_and_never_waits():
    rows = [prompt(100), forced(300), pending()]

    assert [read.num_tokens for p in plan_step(rows, chunk=64).passes for read in p.reads] == [
        1,  # of what was forced, since the prompt has taken the chunk
        1,
        64,
    ]
    (alone,) = plan_step([forced(300)], chunk=64).passes
    assert alone.num_tokens == 64


def test_where_rows_cannot_share_a_pass_a_span_is_read_whole():
    rows = [*[pending()] * 7, forced(5)]
    cost = PassCost(fixed=70, per_token=2)

    assert plan_step(rows, chunk=64, cost=cost, sharing=Sharing.EQUAL).passes[-1].num_tokens == 5


# Who shares a pass


def test_a_few_tokens_more_are_padded_where_a_pass_costs_more():
    rows = [pending(), pending(), forced(30), pending()]

    assert shape(plan_step(rows, chunk=64, cost=CHEAP_TOKENS)) == [([0, 1, 2, 3], 30)]
    assert shape(plan_step(rows, chunk=64, cost=CHEAP_PASSES)) == [([0, 1, 3], 1), ([2], 30)]


def test_a_row_that_is_passed_over_rides_along_with_what_it_holds_by_then():
    rows = [pending(20), prompt(30, cached=40), pending(50)]
    decode, long = plan_step(rows, chunk=64).passes

    assert (decode.first, decode.starts) == (0, (20, 40, 50))
    assert (long.first, long.starts) == (1, (40,))

    rows = [prompt(3, cached=20), pending(40), prompt(3, cached=50)]
    decode, long = plan_step(rows, chunk=64, sharing=Sharing.RAGGED).passes

    assert (decode.first, decode.starts) == (1, (40,))
    assert (long.first, long.starts) == (0, (20, 41, 50))


def test_far_neighbours_are_read_apart_where_the_rows_between_cost_more():
    rows = [prompt(50), *[pending()] * 6, prompt(50)]

    assert shape(plan_step(rows, chunk=128)) == [
        ([1, 2, 3, 4, 5, 6], 1),
        ([0], 50),
        ([7], 50),
    ]


def test_models_with_states_share_equal_reads_only():
    rows = [pending(), forced(2), forced(2), pending()]

    assert shape(plan_step(rows, chunk=8, sharing=Sharing.RAGGED)) == [([0, 3], 1), ([1, 2], 2)]


def test_rows_that_have_just_begun_share_with_their_like_only():
    rows = [prompt(4), prompt(4), forced(4, cached=3), forced(4, cached=9), forced(4, cached=30)]

    assert shape(plan_step(rows, chunk=99, sharing=Sharing.RAGGED)) == [
        ([0, 1], 4),
        ([2], 4),
        ([3, 4], 4),
    ]


def test_models_that_take_one_length_only_share_what_is_equal():
    rows = [prompt(4), prompt(4), prompt(5), prompt(4, cached=2), prompt(4, cached=2)]

    assert shape(plan_step(rows, chunk=99, sharing=Sharing.EQUAL)) == [
        ([0, 1], 4),
        ([3, 4], 4),
        ([2], 5),
    ]


def test_models_that_share_nothing_are_read_row_by_row():
    plan = plan_step([pending(), pending()], chunk=8, sharing=Sharing.ALONE)

    assert shape(plan) == [([0], 1), ([1], 1)]


def test_a_plan_is_plain_data():
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
def test_every_row_is_read_at_most_once_from_where_it_is_and_within_the_chunk(rows, chunk, sharing):
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
            assert bool(read.num_scored) == (read.num_tokens == len(row.token_ids))
            if len(row.token_ids) > 1 and (row.is_prompt or read.num_tokens > 1):
                known += read.num_tokens
    assert known <= chunk
    assert reads or all(row.is_waiting for row in rows)


@given(rows=rows, sharing=st.sampled_from(Sharing))
def test_every_pass_covers_its_rows_and_tells_what_each_holds_by_then(rows, sharing):
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


# What it costs


@pytest.mark.parametrize("length", [0, 500])
@pytest.mark.parametrize("per_look", [0.0, 0.01])
def test_as_many_tokens_fit_as_their_cost_says(length, per_look):
    cost = PassCost(fixed=5, per_token=1, per_look=per_look)

    for budget in (6.5, 40, 1000):
        fit = cost.tokens_in(budget, length)
        assert cost.of(1, fit, length + fit) <= budget or fit == 0
        assert cost.of(1, fit + 1, length + fit + 1) > budget
    assert cost.tokens_in(5, length) == 0


def test_a_step_costs_what_its_passes_do():
    cost = PassCost(fixed=5, per_token=1, per_look=0.1)
    plan = plan_step([pending(20), forced(30, cached=40)], chunk=64, cost=cost)

    assert len(plan.passes) == 2
    assert plan.cost(cost) == cost.of(1, 1, 21) + cost.of(1, 30, 70)


def test_padding_costs_more_where_there_is_much_to_look_at():
    rows = [pending(10), forced(3, cached=4000)]
    blind = PassCost(fixed=10, per_token=1)
    sees = PassCost(fixed=10, per_token=1, per_look=0.01)

    assert len(plan_step(rows, chunk=8, cost=blind).passes) == 1
    assert len(plan_step(rows, chunk=8, cost=sees).passes) == 2
