"""Answers as they were sampled."""

from concordance_inference.chat.answers import AnswerMemory


def test_an_answer_is_recalled_behind_its_own_prompt_only():
    memory = AnswerMemory()
    memory.remember("Why?", "So.", [1, 2])

    assert memory.recall("Why?", "So.") == (1, 2)
    assert memory.recall("How?", "So.") is None
    assert memory.recall("Why?", "So!") is None


def test_what_was_not_asked_for_the_longest_goes_first():
    memory = AnswerMemory(max_answers=2)
    memory.remember("a", "x", [1])
    memory.remember("b", "x", [2])
    memory.recall("a", "x")
    memory.remember("c", "x", [3])

    assert [memory.recall(prompt, "x") for prompt in "abc"] == [(1,), None, (3,)]


def test_the_last_answer_of_a_text_stands():
    memory = AnswerMemory()
    memory.remember("a", "x", [1])
    memory.remember("a", "x", [2, 3])

    assert memory.recall("a", "x") == (2, 3)
