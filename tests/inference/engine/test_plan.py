"""What a step reads. No arrays, no model."""

from concordance_inference.engine.plan import Unread, plan_step
from hypothesis import given
from hypothesis import strategies as st


def shape(plan):
    """Per lane: rows and tokens read."""
    return [([r.row for r in lane.reads], lane.num_tokens) for lane in plan.lanes]


def pending(cached=5):
    return Unread(cached, is_pending=True)


def prompt(n, cached=0):
    return Unread(cached, list(range(n)), is_prompt=True)


def test_rows_that_decode_share_a_pass():
    assert shape(plan_step([pending(3), Unread(9, [7]), pending(5)], chunk=8)) == [([0, 1, 2], 1)]


def test_a_pending_token_is_read_on_the_device():
    (lane,) = plan_step([pending()], chunk=8).lanes

    assert lane.reads[0].token_ids is None


def test_a_prompt_is_read_in_chunks_beside_rows_that_decode():
    plan = plan_step([pending(), prompt(20)], chunk=8)

    assert shape(plan) == [([0], 1), ([1], 8)]
    assert [r.is_scored for lane in plan.lanes for r in lane.reads] == [True, False]


def test_the_last_chunk_of_a_prompt_is_scored():
    (lane,) = plan_step([prompt(8)], chunk=8).lanes

    assert lane.is_scored


def test_several_prompts_share_the_chunk():
    assert shape(plan_step([prompt(5), prompt(9), prompt(4)], chunk=8)) == [([0], 5), ([1], 3)]


def test_equal_prompts_side_by_side_are_one_pass():
    assert shape(plan_step([prompt(4), prompt(4), prompt(5)], chunk=99)) == [([0, 1], 4), ([2], 5)]


def test_rows_that_hold_different_numbers_of_tokens_are_not_one_pass():
    assert shape(plan_step([prompt(4), prompt(4, cached=2)], chunk=99)) == [([0], 4), ([1], 4)]


def test_forced_tokens_are_one_pass_however_many():
    (lane,) = plan_step([Unread(9, list(range(500)))], chunk=8).lanes

    assert (lane.num_tokens, lane.is_scored) == (500, True)


def test_a_row_that_waits_reads_nothing():
    assert plan_step([Unread(9, is_pending=True, is_waiting=True)], chunk=8).lanes == ()


rows = st.lists(
    st.one_of(
        st.builds(Unread, st.integers(0, 9), is_pending=st.just(True), is_waiting=st.booleans()),
        st.builds(
            Unread,
            st.integers(0, 9),
            st.lists(st.integers(0, 9), min_size=1, max_size=12),
            is_prompt=st.booleans(),
        ),
    ),
    min_size=1,
    max_size=6,
)


@given(rows=rows, chunk=st.integers(1, 20))
def test_every_row_is_read_at_most_once_in_order_and_within_the_chunk(rows, chunk):
    reads = [read for lane in plan_step(rows, chunk=chunk).lanes for read in lane.reads]

    assert len({read.row for read in reads}) == len(reads)
    prompts = 0
    for read in reads:
        row = rows[read.row]
        assert not row.is_waiting
        if read.token_ids is not None:
            assert list(read.token_ids) == list(row.token_ids[: read.num_tokens])
            assert read.is_scored == (read.num_tokens == len(row.token_ids))
            if row.is_prompt and len(row.token_ids) > 1:
                prompts += read.num_tokens
    assert prompts <= chunk
    assert reads or all(row.is_waiting for row in rows)
