"""Owners take turns in the queue; the requests of one run in order of arrival."""

from collections import Counter

from concordance_inference.engine.caches.budget import Footprint, KvBudget
from concordance_inference.engine.scheduling.waiting_queue import WaitingQueue
from hypothesis import given
from hypothesis import strategies as st
from tiny import ask


def make_queue(max_bytes=10**6):
    budget = KvBudget(Footprint(per_token=8), max_bytes=max_bytes, max_rows=3, context_length=1000)
    return WaitingQueue(budget, max_rows=3)


def submitted(queue, owners):
    requests = [ask(owner=owner) for owner in owners]
    for request in requests:
        queue.submit(request, print)
    return requests


def taken(queue, lengths=()):
    waiting = next(queue.candidates(lengths), None)
    if waiting is None:
        return None
    queue.take(waiting)
    return waiting


def test_owners_take_turns():
    queue = make_queue()
    a1, a2, a3, b1, c1, a4 = submitted(queue, "aaabca")

    order = [taken(queue).request for _ in range(6)]

    assert order == [a1, b1, c1, a2, a3, a4]
    assert not queue


def test_an_owner_that_has_many_delays_another_by_one_turn():
    queue = make_queue()
    submitted(queue, "aaaa")
    taken(queue)
    (late,) = submitted(queue, "b")

    assert late in [taken(queue).request, taken(queue).request]


def test_a_request_without_room_in_memory_is_overtaken_by_no_owner():
    queue = make_queue(max_bytes=8 * 250)
    large, small = ask("a" * 100, max_tokens=100, owner="a"), ask("b", max_tokens=1, owner="b")
    for request in (large, small):
        queue.submit(request, print)

    assert taken(queue, [100]) is None
    assert taken(queue).request is large


def test_a_request_that_waits_again_is_before_all_owners():
    queue = make_queue()
    submitted(queue, "aab")
    first = taken(queue)
    queue.wait_again(first)

    assert len(queue) == 3
    assert taken(queue) is first
    assert [taken(queue).request.owner for _ in range(2)] == ["b", "a"]


def test_a_request_that_is_put_back_gives_its_owner_the_turn_back():
    queue = make_queue()
    a1, a2, b1, b2 = submitted(queue, "aabb")
    waiting = next(queue.candidates([]))
    place = queue.take(waiting)
    queue.wait_again(waiting, place)

    assert [taken(queue).request for _ in range(4)] == [a1, b1, a2, b2]
    assert not queue


def test_the_completions_of_one_request_count_as_one():
    queue = make_queue()
    for request_id in ("x", "x 1", "x 2", "y"):
        queue.submit(ask(owner="a", request_id=request_id), print)
    new = ask(owner="a", request_id="z")

    assert queue.num_of_owner(new) == 2
    assert queue.num_of_owner(ask(owner="a", request_id="y 1")) == 0  # it waits already
    assert queue.num_of_owner(ask(owner="b")) == 0


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=40))
def test_any_order_is_fair_and_keeps_the_order_of_each_owner(steps):
    """`None` takes a request."""
    queue, left = make_queue(), {}
    turns = Counter()  # of each owner since it began to wait, by the owner that waits
    for owner in [*steps, *[None] * len(steps)]:
        if owner is not None:
            (request,) = submitted(queue, [owner])
            left.setdefault(owner, []).append(request)
            continue
        waiting = taken(queue)
        if waiting is None:
            assert not any(left.values())
            continue
        served = waiting.request.owner
        assert left[served].pop(0) is waiting.request
        for other, waits in left.items():
            if other == served or not waits:
                turns = Counter({pair: n for pair, n in turns.items() if pair[0] != other})
            else:
                turns[other, served] += 1
                assert turns[other, served] <= 1
