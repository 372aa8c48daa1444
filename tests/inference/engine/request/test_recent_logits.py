"""The scores of a row's last positions."""

from concordance_inference.engine.request.recent_logits import (
    MAX_BYTES,
    MAX_POSITIONS,
    RecentLogits,
    positions_that_fit,
)


def remembering(*lengths, max_positions=4):
    memory = RecentLogits(max_positions)
    for length in lengths:
        memory.remember(length, f"scores {length}")
    return memory


def test_what_was_remembered_is_recalled():
    memory = remembering(5, 6, 7)

    assert memory.recall(6) == "scores 6"
    assert memory.recall(4) is None


def test_only_the_last_positions_are_kept():
    assert [remembering(5, 6, 7, 8, 9).recall(n) for n in (5, 6)] == [None, "scores 6"]


def test_what_came_behind_tokens_that_were_taken_back_is_forgotten():
    memory = remembering(5, 6, 7)
    memory.forget_behind(6)

    assert [memory.recall(n) for n in (5, 6, 7)] == ["scores 5", "scores 6", None]


def test_a_position_that_is_scored_again_is_what_it_was_scored_last():
    memory = remembering(5, 6, 7)
    memory.remember(6, "again")

    assert [memory.recall(n) for n in (5, 6, 7)] == ["scores 5", "again", None]


def test_a_memory_of_nothing_keeps_nothing():
    assert remembering(5, 6, max_positions=0).recall(6) is None


def test_large_vocabularies_are_remembered_for_fewer_positions():
    assert positions_that_fit(1, 4 * 1000) == MAX_POSITIONS
    assert positions_that_fit(8, 4 * 200_000) * 8 * 4 * 200_000 <= MAX_BYTES
    assert positions_that_fit(64, 4 * 10**6) == 0
