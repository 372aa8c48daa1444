"""The text so far: right for every kind of vocabulary, however it grows and shrinks."""

import pytest
from concordance_sdk import Actions, Added, ForwardPass, Prefilled, Sampled
from concordance_sdk.testing import ByteTokenizer
from concordance_sdk.text import CompletionText
from concordance_shared import ContextInfo
from hypothesis import example, given, settings
from hypothesis import strategies as st
from real_tokenizers import KINDS, tokenizer_of

actions = Actions()
kinds = st.sampled_from(KINDS)
texts = st.text(st.sampled_from("ab c.é€😀你\n"), max_size=40)


def added(step, token_ids):
    return Added(request_id="r", step=step, added_tokens=tuple(token_ids), forced=False)


def following(tokenizer, token_ids, **options):
    """The text of a completion that grew one token at a time."""
    text = CompletionText(**options)
    for step, token_id in enumerate(token_ids):
        text.follow(added(step, [token_id]), tokenizer)
    return text


def after(text, action):
    """What the completion reads as once an action was carried out."""
    kept = text.token_ids[: len(text.token_ids) - action.n]
    return text.tokenizer.decode([*kept, *(action.tokens or ())], skip_special_tokens=True)


# What it reads as


@settings(deadline=None)
@given(kinds, texts)
@example("sentencepiece", "a" + "你€😀" * 9 + "b")
def test_it_is_what_the_tokenizer_says_at_every_whole_character(kind, said):
    tokenizer = tokenizer_of(kind)
    token_ids = tokenizer.encode(said)
    text = CompletionText()
    for step, token_id in enumerate(token_ids):
        text.follow(added(step, [token_id]), tokenizer)
        so_far = tokenizer.decode(token_ids[: step + 1])
        if not so_far.endswith("\ufffd"):
            assert str(text) == so_far
        assert len(text) == len(str(text))

    assert str(text) == tokenizer.decode(token_ids)
    assert str(text) == (said.removeprefix(" ") if kind == "sentencepiece" else said)


@settings(deadline=None)
@given(
    st.sampled_from(["bytes", "byte_level"]),
    st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=9)), max_size=12),
)
def test_it_follows_whatever_was_taken_back_even_through_bytes_that_are_no_text(kind, moves):
    tokenizer = tokenizer_of(kind)
    byte_ids = [tokenizer_of("byte_level").encode(chr(i))[-1] for i in range(128)]
    text, token_ids = CompletionText(), []
    for back, data in moves:
        step = max(0, len(token_ids) - back)
        new = list(data) if kind == "bytes" else [byte_ids[byte % 128] for byte in data]
        token_ids[step:] = new
        text.follow(added(step, new), tokenizer)
        whole = tokenizer.decode(token_ids)
        if not whole.endswith("\ufffd"):
            assert str(text) == whole
        assert text.token_ids == token_ids


def test_it_never_ends_in_half_a_character():
    said = [str(following(ByteTokenizer(), "a€".encode()[:n])) for n in range(5)]

    assert said == ["", "a", "a", "a", "a€"]


def test_bytes_that_never_become_a_character_are_text_in_the_end():
    assert len(following(ByteTokenizer(), [0xFF] * 33)) == 33
    assert str(following(ByteTokenizer(), [0xFF, *b"ok"])) == "\ufffdok"


def test_special_tokens_are_no_text_unless_they_are_asked_for():
    token_ids = [*b"a", 256, *b"b"]

    assert str(following(ByteTokenizer(), token_ids)) == "ab"
    assert str(following(ByteTokenizer(), token_ids, keeps_special=True)) == "a<eos>b"


@pytest.mark.parametrize("event_type", [ForwardPass, Sampled])
def test_other_events_tell_of_what_was_taken_back(event_type):
    rest = {"logits": None} if event_type is ForwardPass else {"sampled_token": 3}
    text = following(ByteTokenizer(), b"abc")
    text.follow(event_type(request_id="r", step=1, **rest), ByteTokenizer())

    assert str(text) == "a"


def test_a_hole_in_the_events_is_an_error_and_not_a_wrong_text():
    text = following(ByteTokenizer(), b"ab")

    with pytest.raises(ValueError, match="has 2 tokens and cannot go on at 3"):
        text.follow(added(3, b"d"), ByteTokenizer())


def test_what_needs_a_tokenizer_needs_an_event_first():
    with pytest.raises(ValueError, match="follow an event"):
        CompletionText().encode("a")


@pytest.mark.parametrize(
    ("start", "tail"), [(0, "abc"), (2, "c"), (3, ""), (-2, "bc"), (-9, "abc")]
)
def test_a_tail_is_counted_from_either_end(start, tail):
    assert following(ByteTokenizer(), b"abc").tail(start) == tail


def test_it_knows_when_nothing_follows():
    assert not CompletionText().is_final
    assert not following(ByteTokenizer(), b"ab").is_final
    assert following(ByteTokenizer(), [*b"ab", 256]).is_final


def test_it_knows_that_the_budget_is_spent():
    text = CompletionText()
    prompt = ContextInfo(tokens=(1,))
    text.follow(
        Prefilled(request_id="r", step=0, max_steps=2, context_info=prompt), ByteTokenizer()
    )
    text.follow(added(0, b"a"), ByteTokenizer())
    assert not text.is_final
    text.follow(added(1, b"b"), ByteTokenizer())
    assert text.is_final


class Counting(ByteTokenizer):
    """Counts the tokens that it is asked for."""

    decoded = 0

    def token_bytes(self, token_id):
        self.decoded += 1
        return super().token_bytes(token_id)


@pytest.mark.parametrize("said", ["a" * 2000, "€" * 700])
def test_a_token_costs_the_same_however_long_the_completion_is(said):
    tokenizer = Counting()
    following(tokenizer, said.encode()[:1000])
    first = tokenizer.decoded
    following(tokenizer, said.encode())

    assert tokenizer.decoded - first < 2.5 * first
    assert first < 3 * 1000


# Places in it


def test_a_cut_inside_a_token_keeps_what_stands_before_it():
    tokenizer = tokenizer_of("byte_level")
    text = following(tokenizer, tokenizer.encode(" contribution to it"))
    assert len(text.token_ids) < len(text)
    cut = text.cut(2)

    assert cut.kept == 0
    assert (cut.before, cut.behind) == (" c", "ontribution to it")


def test_a_cut_does_not_leave_half_a_character():
    text = following(ByteTokenizer(), "a€b".encode())
    cut = text.cut(1)

    assert (cut.kept, cut.num_tokens, cut.before, cut.behind) == (1, 4, "", "€b")


@settings(deadline=None)
@given(kinds, texts, texts, st.integers(0, 50))
def test_a_rewrite_leaves_exactly_the_text_that_was_meant(kind, said, put, at):
    tokenizer = tokenizer_of(kind)
    text = following(tokenizer, tokenizer.encode(said) or tokenizer.encode("a"))
    at = min(at, len(text))
    expected = str(text)[:at] + put
    action = text.rewrite(at, put, actions)

    assert (str(text) if action is None else after(text, action)) == expected


@settings(deadline=None)
@given(kinds, texts, st.integers(0, 50))
def test_an_end_leaves_exactly_the_text_before_it(kind, said, at):
    tokenizer = tokenizer_of(kind)
    text = following(tokenizer, tokenizer.encode(said) or tokenizer.encode("a"))
    at = min(at, len(text))
    action = text.end(at, actions)

    assert after(text, action) == str(text)[:at]
    assert action.tokens[-1] in tokenizer.eos_token_ids


def test_a_tokenizer_that_begins_texts_with_a_space_puts_none_into_a_word():
    tokenizer = tokenizer_of("sentencepiece")
    text = following(tokenizer, tokenizer.encode("the en"))

    assert tokenizer.decode([*text.token_ids, *tokenizer.encode("gine")]) == "the engine"
    assert tokenizer.decode([*text.token_ids, *text.encode("gine")]) == "the engine"


def test_a_rewrite_that_changes_nothing_is_no_action():
    assert following(ByteTokenizer(), b"abc").rewrite(1, "bc", actions) is None
