"""`PhraseWatch` reports each occurrence once, independent of token boundaries."""

import re

import pytest
from concordance_sdk import Added, ForwardPass, mod, use
from concordance_sdk.builtin import Replace
from concordance_sdk.testing import ByteTokenizer, play
from concordance_sdk.text import CompletionText, PhraseWatch, replace_last
from concordance_sdk.text.phrases import max_backtrack_for
from hypothesis import given, settings
from hypothesis import strategies as st
from real_tokenizers import KINDS, tokenizer_of


def found(generated, *phrases, tokenizer=None, chunks=1, max_tokens=256, **options):
    """The matches reported while a text is generated."""
    matches = []

    @mod(name="look")
    class Look:
        def __init__(self):
            self.text = CompletionText()
            self.watch = PhraseWatch(self.text, phrases, **options)

        def prefilled(self, event, actions, tokenizer):
            self.text.follow(event, tokenizer)

        def forward_pass(self, event, actions, tokenizer):
            if chunks > 1 and event.step == 0:
                return actions.force_tokens(tokenizer.encode(generated))

        def added(self, event, actions, tokenizer):
            self.text.follow(event, tokenizer)
            while match := self.watch.find():
                matches.append(match)

    play(Look, says=generated if chunks == 1 else "", tokenizer=tokenizer, max_tokens=max_tokens)
    return matches


def texts_of(matches):
    return [match.text for match in matches]


# Finding


@pytest.mark.parametrize("chunks", [1, 9])
def test_each_occurrence_is_reported_once_for_any_chunks(chunks):
    matches = found("a cat, a cat", "cat", chunks=chunks)

    assert [(match.start, match.end) for match in matches] == [(2, 5), (9, 12)]


@pytest.mark.parametrize("kind", KINDS)
def test_phrase_is_found_inside_tokens_and_across_them(kind):
    tokenizer = tokenizer_of(kind)
    generated = "the engine raises events"

    assert texts_of(found(generated, "ngine rais", tokenizer=tokenizer)) == ["ngine rais"]


def test_occurrences_do_not_overlap():
    assert len(found("aaaa", "aa")) == 2


def test_longest_of_several_phrases_at_a_position_is_reported():
    assert texts_of(found("catalog", "cat", "catalog", chunks=2)) == ["catalog"]
    assert texts_of(found("catalog", "cat", "catalog")) == ["cat"]


def test_ignore_case():
    matches = found("A Cat", "cat", ignore_case=True)

    assert (matches[0].phrase, matches[0].text) == ("cat", "Cat")
    assert not found("A Cat", "cat")


@pytest.mark.parametrize(
    ("generated", "expected"),
    [
        ("red", ["red"]),
        ("red.", ["red"]),
        ("reduced", []),
        ("infrared", []),
        ("a red, red_", ["red"]),
        ("redred red", ["red"]),
        ("réd red", ["red"]),
    ],
)
@pytest.mark.parametrize("chunks", [1, 9])
def test_whole_words_have_no_adjacent_word_characters(generated, expected, chunks):
    assert texts_of(found(generated, "red", whole_words=True, chunks=chunks)) == expected


def test_word_at_the_token_limit_is_whole():
    assert texts_of(found("a red", "red", whole_words=True, max_tokens=5)) == ["red"]
    assert not found("a reduced", "red", whole_words=True, max_tokens=6)


def test_match_has_the_text_after_it_in_the_same_token():
    tokenizer = tokenizer_of("byte_level")
    (match,) = found(" engine", "gi", tokenizer=tokenizer)

    assert match.after.startswith("n")
    assert match.cut.before + "gi" + match.after == match.cut.before + match.cut.after


@pytest.mark.parametrize("phrases", [[], "", ["a", ""]])
def test_empty_phrases_are_rejected(phrases):
    with pytest.raises(ValueError, match="at least one phrase"):
        PhraseWatch(CompletionText(), phrases)


def test_phrase_that_is_generated_again_after_a_backtrack_is_reported_again():
    undone = []

    @mod(name="undo", on=[ForwardPass])
    def undo(event, actions):
        if event.step == 4 and not undone:
            undone.append(1)
            return actions.backtrack(2)

    matches = []

    @mod(name="look")
    class Look:
        def __init__(self):
            self.text = CompletionText()
            self.watch = PhraseWatch(self.text, "cat")

        def added(self, event, actions, tokenizer):
            self.text.follow(event, tokenizer)
            if match := self.watch.find():
                matches.append(match.start)

    play(undo, Look, script="acat")

    assert matches == [1, 1]


# Replacing


@settings(deadline=None)
@given(
    st.sampled_from(KINDS),
    st.text(st.sampled_from("ab é€"), max_size=30),
    st.text(st.sampled_from("ab é€"), min_size=1, max_size=3),
    st.text(st.sampled_from("abx€"), max_size=4),
    st.booleans(),
)
def test_replacing_during_generation_equals_replacing_afterwards(
    kind, generated, find, replacement, stream
):
    tokenizer = tokenizer_of(kind)
    replace = use(Replace, find=find, replacement=replacement)
    played = play(replace, says=generated, tokenizer=tokenizer, stream=stream)
    generated = tokenizer.decode(tokenizer.encode(generated))

    # If nothing precedes them, leading spaces of such a vocabulary are dropped.
    strip = str.lstrip if kind == "sentencepiece" else str
    assert strip(played.text) == strip(generated.replace(find, replacement))


@settings(deadline=None)
@given(st.text(st.sampled_from("ab ."), max_size=30), st.sampled_from(["a", "ab", "b a"]))
def test_whole_words_equal_those_of_a_regular_expression(generated, find):
    replace = use(Replace, find=find, replacement="X", whole_words=True)

    expected = re.sub(rf"(?<!\w){re.escape(find)}(?!\w)", "X", generated)
    assert play(replace, says=generated).text == expected


def test_phrase_in_a_replacement_is_not_replaced_again():
    assert play(use(Replace, find="a", replacement="aa"), says="banana").text == "baanaanaa"


def test_replacement_that_another_mod_backtracked_is_searched_again():
    undone = []

    @mod(name="undo", on=[Added])
    def undo(event, actions):
        if event.forced and not undone:
            undone.append(1)
            return actions.backtrack(4, b"Par")

    # "Paris" became "Lyon", which was backtracked to "Par": the next tokens complete it again.
    played = play(use(Replace, find="Paris", replacement="Lyon"), undo, says="Parisis!")

    assert played.text == "Lyon!"


def test_replace_last_keeps_the_text_after_the_occurrence():
    @mod(name="last")
    class Last:
        def __init__(self):
            self.text = CompletionText()

        def added(self, event, actions, tokenizer):
            self.text.follow(event, tokenizer)
            if self.text.tail(-1) == "?" and event.added_tokens == (ord("?"),):
                return replace_last(self.text, "no", "yes", actions)

    assert play(Last, says="no, no, or what?").text == "no, yes, or what?"


def test_replace_last_without_an_occurrence_returns_none():
    text = CompletionText()

    assert replace_last(text, "no", "yes", None) is None
    assert ByteTokenizer().encode("") == []


@pytest.mark.parametrize("phrases", [3, [1], ["a", None], [[]]])
def test_a_phrase_that_is_not_a_text_is_rejected(phrases):
    with pytest.raises(ValueError, match="not "):
        PhraseWatch(CompletionText(), phrases)


def test_one_phrase_may_be_given_as_text():
    assert max_backtrack_for("x" * 40) == max_backtrack_for(["x" * 40]) == 44
