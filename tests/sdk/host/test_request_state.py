"""The arithmetic of one request: `num_cached` trails `token_ids`, whatever happens."""

import pytest
from concordance_sdk.host.request_state import Change, RequestState
from concordance_shared import EngineError, FinishReason
from hypothesis import given
from hypothesis import strategies as st


def state(prompt=7, max_tokens=100, **options):
    return RequestState("r", list(range(prompt)), max_tokens=max_tokens, **options)


def test_admitted_the_whole_prompt_is_unread():
    assert state().num_unread == 7


def test_in_the_steady_state_one_token_is_unread():
    s = state()
    s.append([1, 2, 3], forced=False)
    s.num_cached = 9

    assert s.num_unread == 1


def test_forced_tokens_are_unread_together():
    s = state()
    s.append([1, 2, 3], forced=False)
    s.num_cached = 10
    s.append([4, 5, 6, 7], forced=True)

    assert s.num_unread == 4


def test_after_a_backtrack_one_token_is_read_again():
    s = state()
    s.append(range(7), forced=False)
    s.num_cached = 14
    s.backtrack(2)

    assert (s.num_cached, s.num_unread) == (12, 1)


def test_after_a_backtrack_and_a_force_only_the_forced_are_read():
    s = state()
    s.append(range(7), forced=False)
    s.num_cached = 14
    s.backtrack(2)
    s.append([1, 2, 3], forced=True)

    assert (s.num_cached, s.num_unread) == (12, 3)


def test_a_cut_below_the_cache_lowers_it_even_if_as_many_are_appended():
    s = state()
    s.append([1, 2, 3], forced=False)
    s.num_cached = 10
    s.backtrack(3)
    s.append([4, 5, 6], forced=True)

    assert s.num_cached == 7


def test_another_prompt_is_unread():
    s = state()
    s.replace_prompt([5, 5, 5])

    assert (s.token_ids, s.prompt_len, s.num_unread) == ([5, 5, 5], 3, 3)


def test_the_first_reason_stands():
    s = state()
    s.finish(FinishReason.STOP)
    s.finish(FinishReason.LENGTH)

    assert s.finish_reason is FinishReason.STOP


def test_an_error_ends_even_what_had_ended_well():
    s = state()
    s.finish(FinishReason.STOP)
    s.fail(EngineError("broken"))

    assert (s.finish_reason, str(s.error)) == (FinishReason.ERROR, "broken")


@pytest.mark.parametrize(("hold", "shown"), [(0, 5), (2, 3), (9, 0), (None, 0)])
def test_what_is_shown_stays_behind_what_may_be_taken_back(hold, shown):
    s = state(hold=hold)
    s.append(range(5), forced=False)
    s.release()

    assert s.num_released == shown


def test_what_was_shown_stays_shown():
    s = state(hold=2)
    s.append(range(5), forced=False)
    s.release()
    s.backtrack(2)
    s.release()

    assert s.num_released == 3


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.integers(0, 9), max_size=6)),
        st.tuples(st.just("force"), st.lists(st.integers(0, 9), max_size=6)),
        st.tuples(st.just("backtrack"), st.integers(0, 10)),
        st.tuples(st.just("replace"), st.lists(st.integers(0, 9), max_size=6)),
        st.tuples(st.just("read"), st.integers(0, 10)),
    ),
    max_size=30,
)


@given(OPERATIONS)
def test_invariants_hold_after_any_sequence_of_operations(operations):
    s = RequestState("r", [1, 2, 3], max_tokens=12, eos_ids={9}, hold=1)
    cached = []  # the tokens that the cache holds, as the engine would have written them
    for operation, argument in operations:
        if operation in ("append", "force"):
            s.append(argument, forced=operation == "force")
        elif operation == "backtrack":
            s.backtrack(min(argument, s.num_completion))
        elif operation == "replace":
            s.replace_completion(argument)
        else:
            cached = s.token_ids[: min(s.num_cached + argument, len(s.token_ids))]
            s.num_cached = len(cached)

        assert 0 <= s.num_cached <= len(s.token_ids)
        assert s.token_ids[: s.num_cached] == cached[: s.num_cached]
        assert s.token_ids[:3] == [1, 2, 3]
        assert len(s.forced) == s.num_completion
        assert s.num_forced == sum(s.forced)
        assert s.num_completion <= 12


def test_the_journal_names_the_mod_of_each_forced_or_backtracked_token():
    s = RequestState("r", [1], max_tokens=9, keeps_journal=True)
    s.append([2, 3], forced=False)
    s.backtrack(1, mod="fix")
    s.append([4], forced=True, mod="fix")
    s.replace_completion([5], mod="last")

    assert s.journal == [
        Change(0, (2, 3), False),
        Change(1, (), True, "fix"),
        Change(1, (4,), True, "fix"),
        Change(0, (), True, "last"),
        Change(0, (5,), True, "last"),
    ]
