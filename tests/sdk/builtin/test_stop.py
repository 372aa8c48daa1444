"""Completions that end at a phrase, or after some sentences."""

import pytest
from concordance_sdk import FinishReason, use
from concordance_sdk.builtin import StopAfterSentences, StopAt
from concordance_sdk.testing import play
from real_tokenizers import KINDS, tokenizer_of


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("keeps", "text"), [(False, "the an"), (True, "the answer i")])
def test_completion_stops_at_the_phrase_across_token_boundaries(kind, keeps, text):
    stop = use(StopAt, phrases=["swer i"], keeps_phrase=keeps)
    played = play(stop, says="the answer is 42", tokenizer=tokenizer_of(kind))

    assert (played.text, played.finish_reason) == (text, FinishReason.STOP)


def test_first_phrase_that_appears_stops_the_completion():
    assert play(use(StopAt, phrases=["b", "c"]), says="acb").text == "a"


def test_completion_without_the_phrase_continues():
    assert play(use(StopAt, phrases=["x"]), says="abc").text == "abc"


def test_stream_shows_nothing_of_the_phrase():
    assert play(use(StopAt, phrases=["</answer>"]), says="42</answer>", stream=True).text == "42"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("count", "text"), [(1, "It is 3.5 km."), (2, "It is 3.5 km. Not far!"), (9, None)]
)
def test_completion_stops_after_n_sentences(kind, stream, count, text):
    said = "It is 3.5 km. Not far! Go on."
    stop = use(StopAfterSentences, count=count)
    played = play(stop, says=said, tokenizer=tokenizer_of(kind), stream=stream)

    assert played.text == (text or said)
    assert played.finish_reason is FinishReason.STOP


def test_last_sentence_is_not_changed():
    assert play(use(StopAfterSentences, count=1), says="One.").num_backtracked == 0


def test_whole_word_at_the_end_of_the_budget_is_found():
    stop = use(StopAt, phrases=["end"], whole_words=True)

    assert play(stop, says="the endless", max_tokens=7).text == "the "
    assert play(stop, says="the endless", max_tokens=8).text == "the endl"
