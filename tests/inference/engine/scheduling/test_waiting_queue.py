"""Who runs next, and how much of a prompt a step reads. No arrays."""

import pytest
from concordance_inference.engine.caches.budget import Footprint, KvBudget
from concordance_inference.engine.plan import Pass, PassCost, RowDemand, RowRead, StepPlan
from concordance_inference.engine.scheduling.waiting_queue import ChunkSizer, WaitingQueue
from concordance_shared import ContextLengthError
from tiny import ask


def make_scheduler(max_bytes=10**6, max_rows=3):
    budget = KvBudget(
        Footprint(per_token=8),
        max_bytes=max_bytes,
        max_rows=max_rows,
        context_length=1000,
    )
    return WaitingQueue(budget, max_rows=max_rows)


def submit(scheduler, *requests):
    for request in requests:
        scheduler.submit(request, print)


def nobody_waits(request):
    return False


def next_request(scheduler, lengths=(), should_wait=nobody_waits):
    waiting = scheduler.next(lengths, should_wait)
    return waiting and waiting.request


def test_requests_run_in_the_order_in_which_they_came():
    first, second = ask("a"), ask("b")
    scheduler = make_scheduler()
    submit(scheduler, first, second)

    assert [next_request(scheduler) for _ in range(3)] == [first, second, None]


def test_nobody_runs_while_every_row_is_taken():
    scheduler = make_scheduler(max_rows=2)
    submit(scheduler, ask())

    assert next_request(scheduler, [10, 10]) is None
    assert len(scheduler) == 1


def test_who_finds_no_memory_waits_and_is_not_overtaken():
    large, small = ask("a" * 100, max_tokens=100), ask("b", max_tokens=1)
    scheduler = make_scheduler(max_bytes=8 * 250)
    submit(scheduler, large, small)

    assert next_request(scheduler, [100]) is None
    assert next_request(scheduler, []) is large


def test_who_had_better_wait_lets_others_pass():
    patient, hasty = ask("a"), ask("b")
    scheduler = make_scheduler()
    submit(scheduler, patient, hasty)

    assert next_request(scheduler, should_wait=lambda waiting: waiting.request is patient) is hasty
    assert next_request(scheduler) is patient


def test_who_leaves_is_not_found_any_more():
    request = ask()
    scheduler = make_scheduler()
    submit(scheduler, request, ask())

    assert scheduler.remove(request.request_id).request is request
    assert scheduler.remove(request.request_id) is None
    assert len(scheduler.drain()) == 1
    assert not scheduler


@pytest.mark.parametrize("max_tokens", [1, None])
def test_what_can_never_run_is_refused_and_told_what_would_help(max_tokens):
    scheduler = make_scheduler(max_bytes=8 * 132)

    with pytest.raises(ContextLengthError, match="100 tokens leaves no.*holds 100.*--kv-memory"):
        scheduler.check(ask("a" * 100, max_tokens=max_tokens))


@pytest.mark.parametrize("max_tokens", [1, 1000, None])
def test_what_can_run_alone_is_not_refused(max_tokens):
    make_scheduler(max_bytes=8 * 132).check(ask("a" * 99, max_tokens=max_tokens))


# ChunkSizer


COST = PassCost(fixed=0.01, per_token=0.001)


def batch(decoding, reading=(0,)):
    """Rows that decode and rows that read a prompt, by what they hold."""
    return [
        *(RowDemand(length, is_pending=True) for length in decoding),
        *(RowDemand(length, range(1000), is_prompt=True) for length in reading),
    ]


@pytest.mark.parametrize(
    ("num_decoding", "chunk"),
    [
        (0, 256),  # nobody is held up
        (1, 80 - 1),  # what fits into the target beside a pass for those who decode
        (30, 80 - 30),
        (79, 4),  # never less, or a prompt would not end
    ],
)
def test_a_step_reads_as_much_of_prompts_as_its_target_allows(num_decoding, chunk):
    pace = ChunkSizer(COST, max_chunk=256, target_s=0.1)

    assert pace.chunk(batch([50] * num_decoding, [0])) == pytest.approx(chunk, abs=1)


def test_less_is_read_the_more_there_is_to_look_at():
    pace = ChunkSizer(
        PassCost(fixed=0.01, per_token=0.001, per_attended=1e-6), max_chunk=256, target_s=0.1
    )

    assert (
        pace.chunk(batch([10], [0]))
        > pace.chunk(batch([10], [1000]))
        > pace.chunk(batch([10], [3000]))
        >= 16
    )
    assert pace.chunk(batch([10], [0])) > pace.chunk(batch([9000], [0]))


def test_what_mods_forced_counts_like_a_prompt():
    pace = ChunkSizer(COST, max_chunk=256, target_s=0.1)
    forced = RowDemand(0, range(1000))

    assert pace.chunk([forced]) == 256
    assert pace.chunk([*batch([50], []), forced]) == pace.chunk(batch([50])) < 256


def test_the_least_chunk_is_not_more_than_the_most():
    cost = PassCost(fixed=1, per_token=1)

    assert ChunkSizer(cost, max_chunk=4, target_s=0.1).chunk(batch([1, 1, 1], [0])) == 4


def step_of(num_tokens):
    return StepPlan((Pass(0, (0,), (RowRead(0, 0, num_tokens, (1,) * num_tokens),)),))


def paced(pace, seconds_of, *, decoding=(50,), num_steps=40):
    """What the last of some steps reads, if each takes as long as `seconds_of` says."""
    chunk = 0
    for _ in range(num_steps):
        chunk = pace.chunk(batch(decoding))
        pace.learn(step_of(chunk), seconds_of(chunk))
    return chunk


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_what_steps_take_corrects_what_was_measured_once(factor):
    pace = ChunkSizer(COST, max_chunk=4096, target_s=0.2, learns=True)

    chunk = paced(pace, lambda chunk: factor * COST.of(1, chunk, chunk))

    expected = COST.tokens_in(0.2 / factor - COST.of(1, 1, 51), 0)
    assert chunk == pytest.approx(expected, rel=0.02)


def test_one_slow_step_changes_little():
    pace = ChunkSizer(COST, max_chunk=4096, target_s=0.2, learns=True)
    before = pace.chunk(batch([50], [0]))
    pace.learn(step_of(before), 100.0)

    assert pace.chunk(batch([50], [0])) > 0.75 * before


def test_nothing_is_learned_where_costs_are_no_times_or_nobody_decodes():
    for pace, decoding in (
        (ChunkSizer(COST, max_chunk=256, target_s=0.1), [50]),
        (ChunkSizer(COST, max_chunk=256, target_s=0.1, learns=True), []),
    ):
        before = pace.chunk(batch([50], [0]))
        paced(pace, lambda chunk: 100.0, decoding=decoding)

        assert pace.chunk(batch([50], [0])) == before
