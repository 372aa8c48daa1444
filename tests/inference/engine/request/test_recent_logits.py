"""RecentLogits: the logits of a row's last positions."""

from concordance_inference.engine.request.recent_logits import (
    MAX_BYTES,
    MAX_POSITIONS,
    RecentLogits,
    positions_that_fit,
)


def recent(*lengths, max_positions=4):
    logits = RecentLogits(max_positions)
    for length in lengths:
        logits.add(length, f"logits {length}")
    return logits


def test_logits_are_found_by_the_length_of_their_prefix():
    assert recent(5, 6, 7).get(6) == "logits 6"
    assert recent(5, 6, 7).get(4) is None


def test_oldest_positions_are_evicted():
    assert [recent(5, 6, 7, 8, 9).get(n) for n in (5, 6)] == [None, "logits 6"]


def test_logits_after_a_backtrack_are_dropped():
    logits = recent(5, 6, 7)
    logits.drop_after(6)

    assert [logits.get(n) for n in (5, 6, 7)] == ["logits 5", "logits 6", None]


def test_adding_a_position_again_replaces_it_and_drops_later_ones():
    logits = recent(5, 6, 7)
    logits.add(6, "again")

    assert [logits.get(n) for n in (5, 6, 7)] == ["logits 5", "again", None]


def test_nothing_is_stored_with_room_for_no_position():
    assert recent(5, 6, max_positions=0).get(6) is None


def test_fewer_positions_are_stored_for_large_vocabularies():
    assert positions_that_fit(1, 4 * 1000) == MAX_POSITIONS
    assert positions_that_fit(8, 4 * 200_000) * 8 * 4 * 200_000 <= MAX_BYTES
    assert positions_that_fit(64, 4 * 10**6) == 0
