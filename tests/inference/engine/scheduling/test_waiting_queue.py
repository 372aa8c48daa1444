"""The order in which waiting requests run. No arrays."""

import pytest
from concordance_inference.engine.caches.budget import Footprint, KvBudget
from concordance_inference.engine.scheduling.waiting_queue import WaitingQueue
from concordance_shared import ContextLengthError
from tiny import ask


def make_queue(max_bytes=10**6, max_rows=3):
    budget = KvBudget(
        Footprint(per_token=8),
        max_bytes=max_bytes,
        max_rows=max_rows,
        context_length=1000,
    )
    return WaitingQueue(budget, max_rows=max_rows)


def submit(queue, *requests):
    for request in requests:
        queue.submit(request, print)


def take_next(queue, lengths=()):
    waiting = next(queue.candidates(lengths), None)
    if waiting is None:
        return None
    queue.take(waiting)
    return waiting.request


def test_requests_run_in_order_of_arrival():
    first, second = ask("a"), ask("b")
    queue = make_queue()
    submit(queue, first, second)

    assert [take_next(queue) for _ in range(3)] == [first, second, None]


def test_no_request_runs_while_every_row_is_taken():
    queue = make_queue(max_rows=2)
    submit(queue, ask())

    assert take_next(queue, [10, 10]) is None
    assert len(queue) == 1


def test_a_request_that_does_not_fit_into_memory_is_not_overtaken():
    large, small = ask("a" * 100, max_tokens=100), ask("b", max_tokens=1)
    queue = make_queue(max_bytes=8 * 250)
    submit(queue, large, small)

    assert take_next(queue, [100]) is None
    assert take_next(queue, []) is large


def test_a_candidate_that_is_skipped_stays_first():
    skipped, other = ask("a"), ask("b")
    queue = make_queue()
    submit(queue, skipped, other)

    _, second = queue.candidates([])
    queue.take(second)

    assert second.request is other
    assert take_next(queue) is skipped


def test_a_removed_request_is_gone():
    request = ask()
    queue = make_queue()
    submit(queue, request, ask())

    assert queue.remove(request.request_id).request is request
    assert queue.remove(request.request_id) is None
    assert len(queue.drain()) == 1
    assert not queue


@pytest.mark.parametrize("max_tokens", [1, None])
def test_a_prompt_longer_than_memory_is_rejected_with_a_remedy(max_tokens):
    queue = make_queue(max_bytes=8 * 132)

    with pytest.raises(ContextLengthError, match="100 tokens leave.*memory.*of 100 tokens.*--kv-"):
        queue.check(ask("a" * 100, max_tokens=max_tokens))


@pytest.mark.parametrize("max_tokens", [1, 1000, None])
def test_a_prompt_that_fits_alone_is_accepted(max_tokens):
    make_queue(max_bytes=8 * 132).check(ask("a" * 99, max_tokens=max_tokens))
