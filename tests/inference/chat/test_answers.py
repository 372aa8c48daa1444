"""Answers as they were sampled."""

from concordance_inference.chat.answers import AnswerMemory, PromptDigest


def test_an_answer_is_recalled_behind_its_own_prompt_only():
    memory = AnswerMemory()
    memory.remember(PromptDigest("Why?"), "So.", [1, 2])

    assert memory.recall(PromptDigest("Why?"), "So.") == (1, 2)
    assert memory.recall(PromptDigest("How?"), "So.") is None
    assert memory.recall(PromptDigest("Why?"), "So!") is None


def test_what_was_not_asked_for_the_longest_goes_first():
    memory = AnswerMemory(max_answers=2)
    memory.remember(PromptDigest("a"), "x", [1])
    memory.remember(PromptDigest("b"), "x", [2])
    memory.recall(PromptDigest("a"), "x")
    memory.remember(PromptDigest("c"), "x", [3])

    assert [memory.recall(PromptDigest(prompt), "x") for prompt in "abc"] == [(1,), None, (3,)]


def test_the_last_answer_of_a_text_stands():
    memory = AnswerMemory()
    memory.remember(PromptDigest("a"), "x", [1])
    memory.remember(PromptDigest("a"), "x", [2, 3])

    assert memory.recall(PromptDigest("a"), "x") == (2, 3)


def test_a_digest_depends_on_the_text_and_not_on_its_pieces():
    whole, pieces = PromptDigest("Why not?"), PromptDigest("Why")
    pieces.extend(" not?")

    assert whole.digest() == pieces.digest() != PromptDigest("Why not").digest()
