"""RequestState: lengths, budget, finish reasons, and what clients take from it."""

import ast
from pathlib import Path

import pytest
from concordance_sdk.host.request_state import Change, RequestState
from concordance_shared import EngineError, FinishReason
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]

#: Modules that handle request states. `state` is another class in the compatibility package.
SOURCES = [
    path
    for folder in ("inference/src/concordance_inference/engine", "sdk/src/concordance_sdk")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name != "request_state.py"
]


def state(prompt=7, max_tokens=100, **options):
    return RequestState("r", list(range(prompt)), max_tokens=max_tokens, **options)


def num_to_process(s):
    """Number of tokens that the next forward pass processes."""
    return len(s.token_ids) - s.num_cached


def test_whole_prompt_is_processed_first():
    assert num_to_process(state()) == 7


def test_decode_processes_one_token_per_pass():
    s = state()
    s.append([1, 2, 3], forced=False)
    s.mark_processed(9)

    assert num_to_process(s) == 1


def test_forced_tokens_are_processed_together():
    s = state()
    s.append([1, 2, 3], forced=False)
    s.mark_processed(10)
    s.append([4, 5, 6, 7], forced=True)

    assert num_to_process(s) == 4


def test_backtrack_lowers_num_cached_to_the_new_length():
    s = state()
    s.append(range(7), forced=False)
    s.mark_processed(14)
    s.backtrack(2)

    assert (s.num_cached, num_to_process(s)) == (12, 0)


def test_after_backtrack_and_force_only_forced_tokens_are_processed():
    s = state()
    s.append(range(7), forced=False)
    s.mark_processed(14)
    s.backtrack(2)
    s.append([1, 2, 3], forced=True)

    assert (s.num_cached, num_to_process(s)) == (12, 3)


def test_backtrack_lowers_num_cached_even_if_as_many_tokens_are_forced():
    s = state()
    s.append([1, 2, 3], forced=False)
    s.mark_processed(10)
    s.backtrack(3)
    s.append([4, 5, 6], forced=True)

    assert s.num_cached == 7


def test_replaced_prompt_is_processed_whole():
    s = state()
    s.replace_prompt([5, 5, 5])

    assert (s.token_ids, s.prompt_len, num_to_process(s)) == ([5, 5, 5], 3, 3)


def test_first_finish_reason_is_kept():
    s = state()
    s.finish(FinishReason.STOP)
    s.finish(FinishReason.LENGTH)

    assert s.finish_reason is FinishReason.STOP


def test_error_replaces_an_earlier_finish_reason():
    s = state()
    s.finish(FinishReason.STOP)
    s.fail(EngineError("broken"))

    assert (s.finish_reason, str(s.error)) == (FinishReason.ERROR, "broken")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, FinishReason.STOP),
        (FinishReason.LENGTH, FinishReason.STOP),
        (FinishReason.TOOL_CALLS, FinishReason.TOOL_CALLS),
        (FinishReason.CANCELLED, FinishReason.CANCELLED),
    ],
)
def test_stop_string_takes_precedence_over_length_only(before, after):
    s = state()
    if before:
        s.finish(before)
    s.stop_at_string(s.num_completion)

    assert s.finish_reason is after


@pytest.mark.parametrize(
    ("tokens", "reason"), [([1], None), ([1, 2, 3], FinishReason.LENGTH), ([9], FinishReason.STOP)]
)
def test_completion_is_complete_at_its_budget_or_an_end_token(tokens, reason):
    s = state(max_tokens=3, eos_ids={9})
    s.append(tokens, forced=False)
    s.finish_if_complete()

    assert s.finish_reason is reason


@pytest.mark.parametrize(("hold", "released"), [(0, 5), (2, 3), (9, 0), (None, 0)])
def test_tokens_within_hold_are_not_released(hold, released):
    s = state(hold=hold)
    s.append(range(5), forced=False)
    s.release()

    assert s.num_released == released


def test_released_tokens_remain_released_after_backtrack():
    s = state(hold=2)
    s.append(range(5), forced=False)
    s.release()
    s.backtrack(2)
    s.release()

    assert s.num_released == 3


def test_edit_log_returns_the_unchanged_length_since_the_last_call():
    s = state()
    s.append([1, 2, 3], forced=False)
    assert s.edits.take_unchanged(3) == 0
    s.backtrack(2)
    s.append([7, 8], forced=True)

    assert s.edits.take_unchanged(3) == 1
    assert s.edits.take_unchanged(3) == 3


def test_edit_log_returns_each_change_once():
    s = state(keeps_changes=True)
    s.append([1, 2], forced=False)
    s.backtrack(1)

    assert s.edits.take_changes() == [Change(0, (1, 2), False), Change(1, (), True)]
    assert s.edits.take_changes() == ()


def test_replaced_prompt_keeps_the_wish_for_its_logprobs():
    s = RequestState("r", [1], max_tokens=1)
    s.replace_prompt([5], wants_logprobs=True)
    s.replace_prompt([6])

    assert s.wants_prompt_logprobs
    assert s.token_ids == [6]


def test_no_other_module_assigns_attributes_of_a_request_state():
    names = set(vars(state()))
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else targets
            for target in targets:
                owner = getattr(target, "value", None)
                owner = getattr(owner, "attr", None) or getattr(owner, "id", None)
                if owner in ("state", "_state") and getattr(target, "attr", None) in names:
                    found.append(f"{path.name}:{node.lineno}")

    assert len(SOURCES) > 20
    assert found == []


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.integers(0, 9), max_size=6)),
        st.tuples(st.just("force"), st.lists(st.integers(0, 9), max_size=6)),
        st.tuples(st.just("backtrack"), st.integers(0, 10)),
        st.tuples(st.just("replace"), st.lists(st.integers(0, 9), max_size=6)),
        st.tuples(st.just("process"), st.integers(0, 10)),
    ),
    max_size=30,
)


@given(OPERATIONS)
def test_num_cached_never_covers_tokens_that_changed(operations):
    s = RequestState("r", [1, 2, 3], max_tokens=12, eos_ids={9}, hold=1)
    cached = []  # content of the KV cache, as the engine would have written it
    for operation, argument in operations:
        if operation in ("append", "force"):
            s.append(argument, forced=operation == "force")
        elif operation == "backtrack":
            s.backtrack(min(argument, s.num_completion))
        elif operation == "replace":
            s.replace_completion(argument)
        else:
            cached = s.token_ids[: min(s.num_cached + argument, len(s.token_ids))]
            s.mark_processed(len(cached))

        assert 0 <= s.num_cached <= len(s.token_ids)
        assert s.token_ids[: s.num_cached] == cached[: s.num_cached]
        assert s.token_ids[:3] == [1, 2, 3]
        assert len(s.forced) == s.num_completion
        assert s.num_forced == sum(s.forced)
        assert s.num_completion <= 12


def test_changes_name_the_mod_of_each_forced_or_backtracked_token():
    s = RequestState("r", [1], max_tokens=9, keeps_changes=True)
    s.append([2, 3], forced=False)
    s.backtrack(1, mod="fix")
    s.append([4], forced=True, mod="fix")
    s.replace_completion([5], mod="last")

    assert s.edits.take_changes() == [
        Change(0, (2, 3), False),
        Change(1, (), True, "fix"),
        Change(1, (4,), True, "fix"),
        Change(0, (), True, "last"),
        Change(0, (5,), True, "last"),
    ]


def test_forced_tokens_after_a_hidden_span_stay_forced_in_the_reported_changes():
    state = RequestState("r", [1], max_tokens=9, keeps_changes=True)
    state.append([5, 6], forced=True, mod="m")
    state.append([7], forced=False)
    state.holds.add(0, hides=True, end=1)
    state.remove_hidden()

    assert (state.completion_ids, list(state.forced), state.num_forced) == ([6, 7], [1, 0], 1)
    assert [(each.added, each.forced) for each in state.edits.take_changes()[-2:]] == [
        ((6,), True),
        ((7,), False),
    ]
    assert state.forced_by == ["m", None]


def test_each_token_names_the_mod_that_forced_it():
    s = state()
    s.append([1], forced=False)
    s.append([2, 3], forced=True, mod="a")
    assert s.forced_by == [None, "a", "a"]
    s.backtrack(1, mod="b")
    s.append([4], forced=True, mod="b")
    assert s.forced_by == [None, "a", "b"]
    s.replace_completion([5, 6], mod="c")
    assert s.forced_by == ["c", "c"]
