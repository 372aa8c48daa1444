"""SpeculationBackoff: how long speculation is suspended after a miss."""

from concordance_inference.engine.request.backoff import SpeculationBackoff


def tokens_until_off(backoff):
    count = 0
    while backoff.is_on:
        backoff.note(was_wasted=False)
        count += 1
    return count


def test_speculation_is_enabled_at_first():
    assert not SpeculationBackoff().is_on


def test_backoff_doubles_with_each_miss_up_to_a_maximum():
    backoff = SpeculationBackoff()
    lengths = []
    for _ in range(8):
        backoff.note(was_wasted=True)
        lengths.append(tokens_until_off(backoff))

    assert lengths == [32, 64, 128, 256, 512, 1024, 1024, 1024]


def test_success_does_not_shorten_the_next_backoff():
    backoff = SpeculationBackoff()
    backoff.note(was_wasted=True)
    for _ in range(500):
        backoff.note(was_wasted=False)
    backoff.note(was_wasted=True)

    assert tokens_until_off(backoff) == 64
