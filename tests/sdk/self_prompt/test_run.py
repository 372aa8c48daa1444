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


def test_prompt_and_answer_are_put_there_and_erased():
    run = asking()

    assert run.before(5) == Edit(0, tuple(b"ok? "))
    assert run.behind(5, b"ok? ") == Edit()
    assert run.behind(9, b"n") == Edit(0, tuple(b"o"))
    assert run.behind(10, b"o") == Edit(6)
    assert (run.is_complete, run.text, run.value) == (True, "no", "no")


def test_a_prompt_that_was_cut_is_made_whole():
    run = asking()
    run.before(5)
    run.behind(5, b"ok? ")
    run.behind(9, b"n")

    assert run.before(7) == Edit(0, tuple(b"? "))
    assert run.before(3) == Edit(0, tuple(b"ok? "))


def test_an_erasing_that_was_not_carried_out_is_asked_for_once_more():
    run = asking()
    run.before(0)
    edit = run.behind(0, b"ok? no")

    assert run.before(6) == edit == Edit(6)
    assert run.before(6) == Edit()


def test_an_erasing_that_was_carried_out_is_not_asked_for_again():
    """Although the completion has become as long as it was."""
    run = asking(EraseMode.PROMPT)
    run.before(0)
    assert run.behind(0, b"ok? no") == Edit(6, tuple(b"no"))
    run.behind(0, b"no")
    run.behind(2, b"more")

    assert run.before(6) == Edit()


def test_what_stands_behind_the_answer_is_kept():
    run = asking(EraseMode.PROMPT)
    run.before(0)

    assert run.behind(0, b"ok? no, so") == Edit(10, tuple(b"no, so"))


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_an_edit_makes_one_end_of_the_other_and_takes_back_no_more_than_it_must(before, after):
    edit = Edit.between(before, after)
    kept = before[: len(before) - edit.n]

    assert [*kept, *edit.tokens] == after
    assert not edit.n or not edit.tokens or before[len(kept)] != edit.tokens[0]
