"""Incremental detokenization equals the tokenizer's own decoding of the whole list."""

import os

import pytest
from concordance_sdk.detokenizer import PieceDetokenizer, WholeDetokenizer
from concordance_sdk.token_bytes import TokenBytes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from token_families import AS_A_WHOLE, BY_PIECE, FAMILIES, words
from tokenizers import decoders


def special_of(tokenizer):
    added = tokenizer.get_added_tokens_decoder()
    return frozenset(i for i, token in added.items() if token.special)


def ids_of(tokenizer):
    """Ids of a family, including unused ones; byte tokens and added tokens are frequent."""
    top = 1 + max(tokenizer.get_vocab().values())
    names = {i: tokenizer.id_to_token(i) for i in range(top + 2)}
    usual = [i for i, name in names.items() if name is None or not name.startswith("<0x")]
    some_bytes = ("<0x61>", "<0x20>", "<0xC3>", "<0xA9>", "<0xFF>", "<0xE2>", "<0x96>", "<0x81>")
    of_bytes = [i for i, name in names.items() if name in some_bytes] or usual
    added = sorted(tokenizer.get_added_tokens_decoder())
    return st.one_of(st.sampled_from(usual), st.sampled_from(of_bytes), st.sampled_from(added))


def lists_of(tokenizer):
    return st.lists(ids_of(tokenizer), max_size=14)


#: Examples per family and law.
EXAMPLES = int(os.environ.get("TEXT_EXAMPLES", "12"))

DETOKENIZED = {}


def detokenizer(name, keeps_special):
    tokenizer = FAMILIES[name]
    skipped = frozenset() if keeps_special else special_of(tokenizer)
    if name in BY_PIECE:
        pieces = DETOKENIZED.setdefault(name, TokenBytes(tokenizer))
        return PieceDetokenizer(pieces, skipped=skipped)
    return WholeDetokenizer(
        lambda ids: tokenizer.decode(ids, skip_special_tokens=not keeps_special)
    )


def decoded(name, ids, keeps_special):
    return FAMILIES[name].decode(ids, skip_special_tokens=not keeps_special)


@pytest.mark.parametrize("name", BY_PIECE)
def test_tokens_are_byte_sequences(name):
    tokenizer = FAMILIES[name]
    pieces = TokenBytes(tokenizer)

    assert pieces.is_known
    assert pieces.check(range(1 + max(tokenizer.get_vocab().values())))


@pytest.mark.parametrize("name", AS_A_WHOLE)
def test_decoder_that_depends_on_other_tokens_is_named(name):
    pieces = TokenBytes(FAMILIES[name])

    assert not pieces.is_known
    with pytest.raises(ValueError, match=f"decoded by .*{pieces.kinds[-1]}"):
        pieces.of(5)


def test_check_detects_bytes_that_differ_from_decode():
    makes_bytes = decoders.Sequence([decoders.Replace("a", "<0x61>"), decoders.ByteFallback()])
    tokenizer = words(makes_bytes)
    pieces = TokenBytes(tokenizer)
    assert pieces.is_known

    assert not pieces.check(range(tokenizer.get_vocab_size()))
    with pytest.raises(ValueError, match="Replace, ByteFallback, in an unknown way"):
        pieces.of(5)


@pytest.mark.parametrize("keeps_special", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
@settings(deadline=None, max_examples=EXAMPLES)
@given(data=st.data())
def test_text_equals_decode_after_every_token_and_truncation(name, keeps_special, data):
    text, ids = detokenizer(name, keeps_special), []
    for _ in range(data.draw(st.integers(1, 4))):
        kept = data.draw(st.integers(0, len(ids)))
        more = data.draw(lists_of(FAMILIES[name]))
        one_by_one = data.draw(st.booleans())
        text.truncate(kept)
        ids = ids[:kept]
        assert text.text() == decoded(name, ids, keeps_special)
        for new in [[i] for i in more] if one_by_one else [more]:
            text.extend(new)
            ids = ids + new
            assert text.text() == decoded(name, ids, keeps_special)
    for kept in range(len(ids), -1, -1):
        text.truncate(kept)
        assert text.text() == decoded(name, ids[:kept], keeps_special)


@pytest.mark.parametrize("name", FAMILIES)
@settings(deadline=None, max_examples=EXAMPLES)
@given(data=st.data())
def test_pieces_are_a_function_of_the_tokens_and_changes_are_returned(name, data):
    text, ids = detokenizer(name, False), []
    for _ in range(data.draw(st.integers(1, 5))):
        kept = data.draw(st.integers(0, len(ids)))
        before = list(text.pieces)
        unchanged = text.truncate(kept)
        assert unchanged <= kept
        assert list(text.pieces[:unchanged]) == before[:unchanged]
        for new in data.draw(lists_of(FAMILIES[name])):
            before = list(text.pieces)
            unchanged = text.extend([new])
            assert list(text.pieces[:unchanged]) == before[:unchanged]
        ids = ids[:kept] + text_ids(text, kept)
    assert len(text.pieces) == len(text.final) == len(text.whole)


def text_ids(text, kept):
    return list(text._token_ids[kept:])


@pytest.mark.parametrize("name", BY_PIECE)
@settings(deadline=None, max_examples=EXAMPLES)
@given(data=st.data())
def test_final_pieces_never_change_and_are_a_prefix_of_any_later_text(name, data):
    tokenizer = FAMILIES[name]
    ids = data.draw(lists_of(tokenizer))
    more = data.draw(lists_of(tokenizer))
    text = detokenizer(name, False)
    text.extend(ids)
    num_final = text.final[-1] if ids else 0
    shown = "".join(text.pieces[:num_final])
    text.extend(more)

    assert "".join(text.pieces[:num_final]) == shown
    assert decoded(name, ids + more, False).startswith(shown)


@pytest.mark.parametrize("name", BY_PIECE)
@settings(deadline=None, max_examples=EXAMPLES)
@given(data=st.data())
def test_pieces_do_not_depend_on_earlier_tokens_that_were_removed(name, data):
    ids, other = (data.draw(lists_of(FAMILIES[name])) for _ in range(2))
    kept = data.draw(st.integers(0, len(ids)))
    fresh, used = detokenizer(name, False), detokenizer(name, False)
    fresh.extend(ids)
    used.extend(ids[:kept] + other)
    used.truncate(kept)
    used.extend(ids[kept:])

    assert used.pieces == fresh.pieces
    assert (used.final, used.whole) == (fresh.final, fresh.whole)


@pytest.mark.parametrize("name", ["gpt2", "llama2", "gemma", "unigram"])
@given(said=st.text(st.sampled_from("ab é日😀\n the"), max_size=12))
@example(said="😀")
def test_no_piece_has_an_incomplete_character(name, said):
    tokenizer = FAMILIES[name]
    text = detokenizer(name, False)
    for token_id in tokenizer.encode(said, add_special_tokens=False).ids:
        text.extend([token_id])
        assert "\ufffd" not in "".join(text.pieces)


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (["▁", "▁not"], " not"),
        (["▁", "▁", "▁not"], "  not"),
        (["▁not"], "not"),
        (["▁▁▁▁", "a"], "   a"),
        (["a", "▁▁▁▁", "a"], "a    a"),
        (["<s>", "▁not"], "not"),
        (["<0x20>", "▁not"], " not"),
    ],
)
def test_only_the_first_leading_space_is_stripped(tokens, text):
    ids = [FAMILIES["llama2"].token_to_id(token) for token in tokens]
    made = detokenizer("llama2", False)
    made.extend(ids)

    assert made.text() == text


def test_run_of_byte_tokens_is_final_once_it_has_ended():
    a, bad, b = (FAMILIES["llama2"].token_to_id(t) for t in ("<0x61>", "<0xFF>", "b"))
    text = detokenizer("llama2", False)
    text.extend([b, a])
    assert (text.pieces, text.final) == (["b", "a"], [1, 1])

    assert text.extend([bad]) == 1
    assert (text.pieces, text.final[-1]) == (["b", "\ufffd", "\ufffd"], 3)
    assert text.truncate(2) == 1
    assert text.pieces == ["b", "a"]
    text.extend([b])
    assert text.final[-1] == 3


def test_whole_is_the_number_of_tokens_before_an_incomplete_character():
    e2, x96, b = (FAMILIES["llama2"].token_to_id(t) for t in ("<0xE2>", "<0x96>", "b"))
    text = detokenizer("llama2", False)
    text.extend([b, e2, x96])

    assert text.whole == [1, 1, 1]
    text.extend([b])
    assert text.whole == [1, 1, 1, 4]
