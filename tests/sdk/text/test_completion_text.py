"""`CompletionText` for every kind of vocabulary, as the completion grows and shrinks."""

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
    """The text of a completion, appended one token at a time."""
    text = CompletionText(**options)
    for step, token_id in enumerate(token_ids):
        text.follow(added(step, [token_id]), tokenizer)
    return text


def after(text, action):
    """The text of the completion after an action."""
    kept = text.token_ids[: len(text.token_ids) - action.n]
    return text.tokenizer.decode([*kept, *(action.tokens or ())], skip_special_tokens=True)


# The text


@settings(deadline=None)
@given(kinds, texts)
@example("sentencepiece", "a" + "你€😀" * 9 + "b")
def test_text_equals_decode_at_every_complete_character(kind, generated):
    tokenizer = tokenizer_of(kind)
    token_ids = tokenizer.encode(generated)
    text = CompletionText()
    for step, token_id in enumerate(token_ids):
        text.follow(added(step, [token_id]), tokenizer)
        so_far = tokenizer.decode(token_ids[: step + 1])
        if not so_far.endswith("\ufffd"):
            assert str(text) == so_far
        assert len(text) == len(str(text))

    assert str(text) == tokenizer.decode(token_ids)
    assert str(text) == (generated.removeprefix(" ") if kind == "sentencepiece" else generated)


@settings(deadline=None)
@given(
    st.sampled_from(["bytes", "byte_level"]),
    st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=9)), max_size=12),
)
def test_text_is_right_after_any_backtrack_even_through_invalid_utf8(kind, moves):
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


def test_incomplete_last_character_is_not_in_the_text():
    generated = [str(following(ByteTokenizer(), "a€".encode()[:n])) for n in range(5)]

    assert generated == ["", "a", "a", "a", "a€"]


def test_invalid_bytes_become_replacement_characters():
    assert len(following(ByteTokenizer(), [0xFF] * 33)) == 33
    assert str(following(ByteTokenizer(), [0xFF, *b"ok"])) == "\ufffdok"


def test_special_tokens_are_in_the_text_only_with_keeps_special():
    token_ids = [*b"a", 256, *b"b"]

    assert str(following(ByteTokenizer(), token_ids)) == "ab"
    assert str(following(ByteTokenizer(), token_ids, keeps_special=True)) == "a<eos>b"


@pytest.mark.parametrize("event_type", [ForwardPass, Sampled])
def test_forward_pass_and_sampled_notify_of_a_backtrack(event_type):
    rest = {"logits": None} if event_type is ForwardPass else {"sampled_token": 3}
    text = following(ByteTokenizer(), b"abc")
    text.follow(event_type(request_id="r", step=1, **rest), ByteTokenizer())

    assert str(text) == "a"


def test_missed_added_event_is_an_error():
    text = following(ByteTokenizer(), b"ab")

    with pytest.raises(ValueError, match="has 2 tokens and cannot continue at 3"):
        text.follow(added(3, b"d"), ByteTokenizer())


def test_tokenizer_is_unknown_before_the_first_event():
    with pytest.raises(ValueError, match="follow an event"):
        CompletionText().encode("a")


@pytest.mark.parametrize(
    ("start", "tail"), [(0, "abc"), (2, "c"), (3, ""), (-2, "bc"), (-9, "abc")]
)
def test_tail_counts_from_either_end(start, tail):
    assert following(ByteTokenizer(), b"abc").tail(start) == tail


def test_text_is_final_after_an_eos_token():
    assert not CompletionText().is_final
    assert not following(ByteTokenizer(), b"ab").is_final
    assert following(ByteTokenizer(), [*b"ab", 256]).is_final


def test_text_is_final_at_the_token_limit():
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
    """Counts the tokens whose bytes are requested."""

    decoded = 0

    def token_bytes(self, token_id):
        self.decoded += 1
        return super().token_bytes(token_id)


@pytest.mark.parametrize("generated", ["a" * 2000, "€" * 700])
def test_cost_of_a_token_does_not_depend_on_the_length(generated):
    tokenizer = Counting()
    following(tokenizer, generated.encode()[:1000])
    first = tokenizer.decoded
    following(tokenizer, generated.encode())

    assert tokenizer.decoded - first < 2.5 * first
    assert first < 3 * 1000


# Cuts


def test_cut_inside_a_token_returns_the_text_before_it():
    tokenizer = tokenizer_of("byte_level")
    text = following(tokenizer, tokenizer.encode(" contribution to it"))
    assert len(text.token_ids) < len(text)
    cut = text.cut(2)

    assert cut.kept == 0
    assert (cut.before, cut.after) == (" c", "ontribution to it")


def test_cut_does_not_leave_an_incomplete_character():
    text = following(ByteTokenizer(), "a€b".encode())
    cut = text.cut(1)

    assert (cut.kept, cut.num_tokens, cut.before, cut.after) == (1, 4, "", "€b")


@settings(deadline=None)
@given(kinds, texts, texts, st.integers(0, 50))
def test_rewrite_gives_exactly_the_requested_text(kind, generated, put, at):
    tokenizer = tokenizer_of(kind)
    text = following(tokenizer, tokenizer.encode(generated) or tokenizer.encode("a"))
    at = min(at, len(text))
    expected = str(text)[:at] + put
    action = text.rewrite(at, put, actions)

    assert (str(text) if action is None else after(text, action)) == expected


@settings(deadline=None)
@given(kinds, texts, st.integers(0, 50))
def test_end_keeps_exactly_the_text_before_it(kind, generated, at):
    tokenizer = tokenizer_of(kind)
    text = following(tokenizer, tokenizer.encode(generated) or tokenizer.encode("a"))
    at = min(at, len(text))
    action = text.end(at, actions)

    assert after(text, action) == str(text)[:at]
    assert action.tokens[-1] in tokenizer.eos_token_ids


def test_rewrite_inside_a_word_adds_no_leading_space():
    tokenizer = tokenizer_of("sentencepiece")
    text = following(tokenizer, tokenizer.encode("the en"))

    assert tokenizer.decode([*text.token_ids, *tokenizer.encode("gine")]) == "the engine"
    assert tokenizer.decode([*text.token_ids, *text.encode("gine")]) == "the engine"


def test_rewrite_that_changes_nothing_returns_none():
    assert following(ByteTokenizer(), b"abc").rewrite(1, "bc", actions) is None
