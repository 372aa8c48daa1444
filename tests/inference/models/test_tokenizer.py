"""A model's own tokenizer, for mods and for the decoder."""

import pytest
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_sdk.detokenizer import PieceDetokenizer, WholeDetokenizer
from hypothesis import given
from hypothesis import strategies as st
from token_families import AS_A_WHOLE
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def byte_level():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("h", "e"), ("l", "l"), ("Ġ", "w"), ("Ã", "©")]
    pieces = [*alphabet, *(a + b for a, b in merges)]
    made = Tokenizer(models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<eos>"])
    made.add_tokens([AddedToken("<think>", special=False)])
    return made


def sentencepiece(*, strips):
    pieces = ["<unk>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", "a", "b", "▁a", "é"]
    made = Tokenizer(
        models.BPE(
            vocab={p: i for i, p in enumerate(pieces)},
            merges=[("▁", "a")],
            byte_fallback=True,
            unk_token="<unk>",
        )
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace(
        prepend_scheme="first" if strips else "never", split=False
    )
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*steps, *([decoders.Strip(" ", 1, 0)] if strips else [])])
    made.add_special_tokens(["</s>"])
    return made


def word_piece():
    vocab = {w: i for i, w in enumerate(["[UNK]", "hel", "##lo", "my", "world", "[SEP]"])}
    made = Tokenizer(models.WordPiece(vocab=vocab, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece(prefix="##")
    made.add_special_tokens(["[SEP]"])
    return made


def wrapped(tokenizer, eos="<eos>"):
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=eos)
    return ModelTokenizer(fast, eos_token_ids=[fast.eos_token_id], vocab_size=10**6)


BYTE_LEVEL = wrapped(byte_level())
SPM = wrapped(sentencepiece(strips=False), "</s>")
SPM_STRIPS = wrapped(sentencepiece(strips=True), "</s>")
WORDS = wrapped(word_piece(), "[SEP]")
CTC = wrapped(AS_A_WHOLE["ctc"], "</s>")


def decoded(tokenizer, token_ids):
    decoder = tokenizer.new_decoder()
    for token_id in token_ids:
        decoder.extend([token_id])
    return decoder.text()


@given(st.text(max_size=30))
def test_text_round_trips(text):
    assert BYTE_LEVEL.decode(BYTE_LEVEL.encode(text)) == text


def test_special_tokens_are_recognised_kept_and_skipped():
    ids = BYTE_LEVEL.encode("he<eos>llo")

    assert next(iter(BYTE_LEVEL.eos_token_ids)) in ids
    assert BYTE_LEVEL.decode(ids) == "he<eos>llo"
    assert BYTE_LEVEL.decode(ids, skip_special_tokens=True) == "hello"


def test_nothing_is_added():
    assert BYTE_LEVEL.encode("") == []


@pytest.mark.parametrize(
    ("tokenizer", "kind"),
    [
        (BYTE_LEVEL, PieceDetokenizer),
        (SPM, PieceDetokenizer),
        (SPM_STRIPS, PieceDetokenizer),
        (WORDS, PieceDetokenizer),
        (CTC, WholeDetokenizer),
    ],
)
def test_the_decoder_fits_the_vocabulary(tokenizer, kind):
    assert type(tokenizer.new_decoder()) is kind


@given(st.text(max_size=30))
def test_a_byte_level_vocabulary_decodes_token_by_token(text):
    ids = BYTE_LEVEL.encode(text)

    assert decoded(BYTE_LEVEL, ids) == BYTE_LEVEL.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("text", ["a b", "aé b", "日本 a", "a  b", "ab 😀"])
@pytest.mark.parametrize("tokenizer", [SPM, SPM_STRIPS])
def test_a_sentencepiece_vocabulary_decodes_as_a_whole_does(tokenizer, text):
    ids = tokenizer.encode(text)

    assert decoded(tokenizer, ids) == tokenizer.decode(ids, skip_special_tokens=True)


def test_other_vocabularies_decode_as_a_whole_does():
    ids = WORDS.encode("hello my world")

    assert decoded(WORDS, ids) == WORDS.decode(ids, skip_special_tokens=True) == "hello my world"


def test_special_tokens_are_no_text_and_added_ones_are():
    assert decoded(BYTE_LEVEL, BYTE_LEVEL.encode("a<eos><think>b")) == "a<think>b"


@pytest.mark.parametrize("text", ["he w", "é", "hello world", "日本\n"])
@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SPM])
def test_the_bytes_of_a_texts_tokens_are_the_texts(tokenizer, text):
    spelled = b"".join(tokenizer.token_bytes(i) for i in tokenizer.encode(text))

    assert spelled.decode() == text


def test_a_special_token_is_known_as_one_and_spelled_by_its_name():
    (eos,) = BYTE_LEVEL.eos_token_ids
    (think,) = BYTE_LEVEL.encode("<think>")

    assert BYTE_LEVEL.special_token_ids == {eos}
    assert BYTE_LEVEL.token_bytes(eos) == b"<eos>"
    assert BYTE_LEVEL.token_bytes(think) == b"<think>"


def test_tokens_that_are_no_bytes_are_refused_with_the_way_they_are_decoded():
    with pytest.raises(ValueError, match="CTC"):
        CTC.token_bytes(0)
