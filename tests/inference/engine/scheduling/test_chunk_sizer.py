"""The size of chunks, which keeps steps within a latency target. No arrays."""

import pytest
from concordance_inference.engine.plan import Pass, PassCost, RowDemand, RowRead, StepPlan
from concordance_inference.engine.scheduling.chunk_sizer import ChunkSizer

COST = PassCost(fixed=0.01, per_token=0.001)


def batch(decoding, reading=(0,)):
    """Rows that decode and rows that prefill, by their cached lengths."""
    return [
        *(RowDemand(length, is_pending=True) for length in decoding),
        *(RowDemand(length, range(1000), is_prompt=True) for length in reading),
    ]


@pytest.mark.parametrize(
    ("num_decoding", "chunk"),
    [
        (0, 256),  # no row decodes
        (1, 80 - 1),  # what fits into the target beside a pass over the decoding rows
        (30, 80 - 30),
        (79, 1),  # never less, or a prompt would not end
    ],
)
def test_a_chunk_is_as_long_as_the_latency_target_allows(num_decoding, chunk):
    sizer = ChunkSizer(COST, max_chunk=256, target_s=0.1)

    assert sizer.chunk(batch([50] * num_decoding, [0])) == pytest.approx(chunk, abs=1)


def test_chunks_get_shorter_the_more_positions_are_attended_to():
    sizer = ChunkSizer(
        PassCost(fixed=0.01, per_token=0.001, per_attended=1e-6), max_chunk=256, target_s=0.1
    )

    assert (
        sizer.chunk(batch([10], [0]))
        > sizer.chunk(batch([10], [1000]))
        > sizer.chunk(batch([10], [3000]))
        >= 16
    )
    assert sizer.chunk(batch([10], [0])) > sizer.chunk(batch([9000], [0]))


def test_a_forced_span_is_chunked_like_a_prompt():
    sizer = ChunkSizer(COST, max_chunk=256, target_s=0.1)
    forced = RowDemand(0, range(1000))

    assert sizer.chunk([forced]) == 256
    assert sizer.chunk([*batch([50], []), forced]) == sizer.chunk(batch([50])) < 256


def test_the_smallest_chunk_is_at_most_the_configured_chunk():
    cost = PassCost(fixed=1, per_token=1)

    assert ChunkSizer(cost, max_chunk=1, target_s=0.1).chunk(batch([1, 1, 1], [0])) == 1


def test_a_few_forced_tokens_are_never_split():
    sizer = ChunkSizer(PassCost(fixed=1, per_token=1), max_chunk=256, target_s=0.1)
    forced = RowDemand(9, range(4))

    assert sizer.chunk([*batch([1, 1], []), forced]) == 4
    assert sizer.chunk([*batch([1, 1], [0]), forced]) == 1  # a prompt is prefilled as well


def step_of(num_tokens):
    return StepPlan((Pass(0, (0,), (RowRead(0, 0, num_tokens, (1,) * num_tokens),)),))


def chunk_after(sizer, seconds_of, *, decoding=(50,), num_steps=40):
    """The chunk after some steps that each take `seconds_of(chunk)`."""
    chunk = 0
    for _ in range(num_steps):
        chunk = sizer.chunk(batch(decoding))
        sizer.learn(step_of(chunk), seconds_of(chunk))
    return chunk


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_measured_cost_is_corrected_by_the_time_of_steps(factor):
    sizer = ChunkSizer(COST, max_chunk=4096, target_s=0.2, learns=True)

    chunk = chunk_after(sizer, lambda chunk: factor * COST.of(1, chunk, chunk))

    expected = COST.tokens_in(0.2 / factor - COST.of(1, 1, 51), 0)
    assert chunk == pytest.approx(expected, rel=0.02)


def test_one_slow_step_changes_chunks_little():
    sizer = ChunkSizer(COST, max_chunk=4096, target_s=0.2, learns=True)
    before = sizer.chunk(batch([50], [0]))
    sizer.learn(step_of(before), 100.0)

    assert sizer.chunk(batch([50], [0])) > 0.75 * before


def test_nothing_is_learned_without_decoding_rows_or_measured_times():
    for sizer, decoding in (
        (ChunkSizer(COST, max_chunk=256, target_s=0.1), [50]),
        (ChunkSizer(COST, max_chunk=256, target_s=0.1, learns=True), []),
    ):
        before = sizer.chunk(batch([50], [0]))
        chunk_after(sizer, lambda chunk: 100.0, decoding=decoding)

        assert sizer.chunk(batch([50], [0])) == before
