"""Loops in a list of tokens, against a search of the whole list."""

import random

import pytest
from concordance_inference.engine.loops.detector import (
    BREAK,
    MAX_PERIOD,
    Loop,
    PeriodDetector,
    RunDetector,
)


def added(detector, token_ids, *, is_sampled=True):
    for token_id in token_ids:
        detector.add(token_id, is_sampled=is_sampled)
    return detector


def full(enough=6):
    return PeriodDetector([enough] * MAX_PERIOD)


def since_by_search(ids, period):
    """Return from which step on each token equals the one `period` before, in one message."""
    begin = max((i + 1 for i, token_id in enumerate(ids) if token_id == BREAK), default=0)
    since = len(ids)
    while since - 1 - period >= begin and ids[since - 1] == ids[since - 1 - period]:
        since -= 1
    return since


def found_by_search(ids, sampled, enough):
    for period, least in enumerate(enough, 1):
        since = since_by_search(ids, period)
        if since < len(ids) and sum(sampled[since:]) >= least:
            return Loop(since - period, period, (len(ids) - since + period) // period)
    return None


def settled_by_search(ids, periods, length):
    """Follow every rewind that could begin at a length, shorter lengths first."""
    settled = []
    for n in range(length + 1):
        starts = [since_by_search(ids[:n], period) for period in periods]
        settled.append(min([n, *(settled[since] for since in starts if since < n)]))
    return settled[length]


@pytest.mark.parametrize("detector", [RunDetector(3), full(3)])
def test_one_token_repeated_is_a_loop_of_period_one(detector):
    assert added(detector, [9, 5, 5, 5]).found is None
    assert added(detector, [5]).found == Loop(1, 1, 4)


@pytest.mark.parametrize("period", [1, 2, 3, 17, 63, 64])
def test_period_is_found_up_to_64(period):
    detector = added(full(100), range(1000, 1005))
    added(detector, [i % period for i in range(period + 99)])
    assert detector.found is None
    assert added(detector, [(period + 99) % period]).found == Loop(
        5, period, (period + 100) // period
    )


def test_period_of_65_is_not_found():
    assert added(full(10), [i % 65 for i in range(1000)]).found is None


@pytest.mark.parametrize("detector", [RunDetector(3), full(3)])
def test_tokens_that_a_mod_forced_continue_a_loop_and_do_not_count(detector):
    added(detector, [5, 5, 5])
    added(detector, [5, 5, 5], is_sampled=False)
    assert detector.found is None
    assert added(detector, [5]).found == Loop(0, 1, 7)


@pytest.mark.parametrize("detector", [RunDetector(3), full(3)])
def test_message_that_ends_ends_its_loop(detector):
    assert added(detector, [5, 5, 5, BREAK, 5, 5, 5]).found is None
    assert detector.settled(7) == 5


@pytest.mark.parametrize("detector", [RunDetector(3), full(3)])
def test_repeated_control_tokens_are_not_a_loop(detector):
    assert added(detector, [BREAK] * 9).found is None
    assert detector.settled(9) == 9


@pytest.mark.parametrize(("make", "periods"), [(RunDetector, [1]), (full, range(1, 65))])
def test_edits_in_any_order_give_what_a_search_of_all_tokens_gives(make, periods):
    rng = random.Random(7)
    enough = [4] if make is RunDetector else [4] * MAX_PERIOD
    for _ in range(6):
        detector, ids, sampled = make(4), [], []
        for _ in range(50):
            if rng.random() < 0.15:
                length = rng.randint(0, len(ids))
                detector.cut(length)
                del ids[length:], sampled[length:]
            else:
                token_id = rng.choices([1, 2, 3, BREAK], [9, 5, 2, 1])[0]
                is_sampled = rng.random() < 0.8
                detector.add(token_id, is_sampled=is_sampled)
                ids.append(token_id)
                sampled.append(is_sampled)
            assert detector.found == found_by_search(ids, sampled, enough)
        for length in (len(ids), len(ids) // 2):
            assert detector.settled(length) == settled_by_search(ids, periods, length)


def test_run_that_a_rewind_brings_back_is_not_settled():
    a, b = 1, 2
    assert added(full(), [a, b, a]).settled(3) == 2
    assert added(full(), [a, b, a, a]).settled(4) == 2


def test_work_of_a_token_does_not_grow_with_the_completion():
    """At most one run for each period, however often a token occurred."""
    detector = added(full(10**9), [1, 1, 2] * 2000)
    assert len(detector._runs[-1]) <= MAX_PERIOD
