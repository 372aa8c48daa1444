"""One asking, by the steps and tokens that it is told."""

from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.self_prompt import EraseMode, SelfPrompt
from concordance_sdk.self_prompt.edit import Edit
from concordance_sdk.testing import ByteTokenizer
from hypothesis import given
from hypothesis import strategies as st


def asking(erase=EraseMode.ALL):
    question = SelfPrompt(prompt="ok? ", constraint=ChoicesStrat(["yes", "no"]), erase=erase)
    return question.start(ByteTokenizer())


def test_run_forces_the_prompt_and_erases_everything():
    run = asking()

    assert run.before(5) == Edit(0, tuple(b"ok? "))
    assert run.after(5, b"ok? ") == Edit()
    assert run.after(9, b"n") == Edit(0, tuple(b"o"))
    assert run.after(10, b"o") == Edit(6)
    assert (run.is_complete, run.text, run.value) == (True, "no", "no")


def test_rest_of_a_backtracked_prompt_is_forced():
    run = asking()
    run.before(5)
    run.after(5, b"ok? ")
    run.after(9, b"n")

    assert run.before(7) == Edit(0, tuple(b"? "))
    assert run.before(3) == Edit(0, tuple(b"ok? "))


def test_erasing_edit_that_was_not_made_is_returned_once_more():
    run = asking()
    run.before(0)
    edit = run.after(0, b"ok? no")

    assert run.before(6) == edit == Edit(6)
    assert run.before(6) == Edit()


def test_erasing_edit_that_was_made_is_not_returned_again():
    """Although the completion has become as long as it was."""
    run = asking(EraseMode.PROMPT)
    run.before(0)
    assert run.after(0, b"ok? no") == Edit(6, tuple(b"no"))
    run.after(0, b"no")
    run.after(2, b"more")

    assert run.before(6) == Edit()


def test_tokens_after_the_answer_are_kept():
    run = asking(EraseMode.PROMPT)
    run.before(0)

    assert run.after(0, b"ok? no, so") == Edit(10, tuple(b"no, so"))


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_edit_between_two_ends_keeps_their_common_prefix(before, after):
    edit = Edit.between(before, after)
    kept = before[: len(before) - edit.n]

    assert [*kept, *edit.tokens] == after
    assert not edit.n or not edit.tokens or before[len(kept)] != edit.tokens[0]
