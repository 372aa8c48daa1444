"""The model's tokenizer."""

import json

import pytest
from concordance_inference.models.token_maps import without_token_maps
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_sdk.detokenizer import PieceDetokenizer, WholeDetokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm import tokenizer_utils
from token_families import AS_A_WHOLE, BY_PIECE, FAMILIES, llama2
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


def test_special_tokens_are_encoded_kept_and_skipped():
    ids = BYTE_LEVEL.encode("he<eos>llo")

    assert next(iter(BYTE_LEVEL.eos_token_ids)) in ids
    assert BYTE_LEVEL.decode(ids) == "he<eos>llo"
    assert BYTE_LEVEL.decode(ids, skip_special_tokens=True) == "hello"


def test_no_special_tokens_are_added():
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
def test_decoder_kind_matches_the_vocabulary(tokenizer, kind):
    assert type(tokenizer.new_decoder()) is kind


@given(st.text(max_size=30))
def test_a_byte_level_vocabulary_decodes_token_by_token(text):
    ids = BYTE_LEVEL.encode(text)

    assert decoded(BYTE_LEVEL, ids) == BYTE_LEVEL.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("text", ["a b", "aé b", "日本 a", "a  b", "ab 😀"])
@pytest.mark.parametrize("tokenizer", [SPM, SPM_STRIPS])
def test_incremental_decoding_of_sentencepiece_equals_whole_decoding(tokenizer, text):
    ids = tokenizer.encode(text)

    assert decoded(tokenizer, ids) == tokenizer.decode(ids, skip_special_tokens=True)


def test_unsupported_vocabularies_are_decoded_as_a_whole():
    ids = WORDS.encode("hello my world")

    assert decoded(WORDS, ids) == WORDS.decode(ids, skip_special_tokens=True) == "hello my world"


def test_added_tokens_are_text_and_special_tokens_are_not():
    assert decoded(BYTE_LEVEL, BYTE_LEVEL.encode("a<eos><think>b")) == "a<think>b"


@pytest.mark.parametrize("text", ["he w", "é", "hello world", "日本\n"])
@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SPM])
def test_token_bytes_join_to_the_bytes_of_the_text(tokenizer, text):
    spelled = b"".join(tokenizer.token_bytes(i) for i in tokenizer.encode(text))

    assert spelled.decode() == text


def test_token_bytes_of_a_special_token_are_its_name():
    (eos,) = BYTE_LEVEL.eos_token_ids
    (think,) = BYTE_LEVEL.encode("<think>")

    assert BYTE_LEVEL.special_token_ids == {eos}
    assert BYTE_LEVEL.token_bytes(eos) == b"<eos>"
    assert BYTE_LEVEL.token_bytes(think) == b"<think>"


def test_tokens_without_bytes_raise_an_error_that_names_the_decoder():
    with pytest.raises(ValueError, match="CTC"):
        CTC.token_bytes(0)


def wrapped_family(name, width=10**6):
    fast = PreTrainedTokenizerFast(tokenizer_object=FAMILIES[name], eos_token="</s>")
    return ModelTokenizer(fast, eos_token_ids=[fast.eos_token_id], vocab_size=width)


# Tokenizers of all families


@pytest.mark.parametrize("name", FAMILIES)
def test_tokenizer_without_token_bytes_logs_a_warning_and_decodes_as_a_whole(name, caplog):
    tokenizer = wrapped_family(name)
    kind = PieceDetokenizer if name in BY_PIECE else WholeDetokenizer

    assert type(tokenizer.new_decoder()) is kind
    assert bool(caplog.records) == (kind is WholeDetokenizer)


@pytest.mark.parametrize(
    "name", [name for name in BY_PIECE if not name.startswith(("w", "r", "n"))]
)
@settings(deadline=None, max_examples=12)
@given(first=st.text("ab the\n", max_size=6), second=st.text("ab the\n", max_size=6))
def test_concatenated_encodings_decode_to_concatenated_texts(name, first, second):
    tokenizer = wrapped_family(name)
    ids = tokenizer.encode("a" + first)
    both = tokenizer.decode([*ids, *tokenizer.encode(second)])

    can_be_encoded = not {*tokenizer.encode(second), *ids} & {tokenizer.hf.unk_token_id, 0}
    is_stripped = name == "strip_each" and "a" in second  # its decoder removes this letter
    if can_be_encoded and not is_stripped:
        assert both == tokenizer.decode(ids) + second


def test_encode_adds_no_leading_space():
    tokenizer = wrapped_family("llama2")
    before = tokenizer.encode("not")

    for text in (" here", "here", "  here", "<think> here", " here</s>a"):
        assert tokenizer.decode([*before, *tokenizer.encode(text)]) == "not" + text


def test_added_tokens_decode_as_the_tokenizer_decodes_them():
    tokenizer = wrapped_family("gemma")
    (run,) = [
        i
        for i in tokenizer.hf.added_tokens_decoder
        if tokenizer.hf.convert_ids_to_tokens(i) == "▁" * 4
    ]

    assert tokenizer.token_bytes(run) == b"    "
    assert decoded(tokenizer, [run]) == "    "


def test_unused_token_ids_are_listed_as_missing_ids():
    tokenizer = wrapped_family("holes", width=900)
    last = 1 + max(FAMILIES["holes"].get_vocab().values())

    assert tokenizer.vocab_size == last
    assert tokenizer.missing_ids == {
        i for i in range(last) if FAMILIES["holes"].id_to_token(i) is None
    }
    assert tokenizer.token_bytes(1) == b""
    assert wrapped_family("holes", width=100).vocab_size <= 100


@pytest.mark.parametrize("text", ["ab", "", "<s>ab", "a</s>"])
def test_adds_bos_prepends_bos_exactly_once(text):
    made = llama2(bos=True)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>")
    tokenizer = ModelTokenizer(fast, eos_token_ids=[fast.eos_token_id], vocab_size=10**6)
    bos = made.token_to_id("<s>")
    own = made.encode(text, add_special_tokens=False).ids

    ids = tokenizer.encode_prompt(text, adds_bos=True)
    assert ids == [bos, *own] if own[:1] != [bos] else own
    assert tokenizer.encode_prompt(text) == own


def test_adds_bos_adds_nothing_for_a_tokenizer_without_bos():
    tokenizer = wrapped_family("gpt2")

    assert tokenizer.encode_prompt("ab", adds_bos=True) == tokenizer.encode_prompt("ab")


def test_a_vocabulary_with_unused_ids_is_loaded_without_mlx_lms_token_map(tmp_path):
    FAMILIES["holes"].save(str(tmp_path / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    own = tokenizer_utils.SPMStreamingDetokenizer
    with without_token_maps():
        assert tokenizer_utils.load(tmp_path).eos_token_id == FAMILIES["holes"].token_to_id("</s>")

    assert tokenizer_utils.SPMStreamingDetokenizer is own


def unmarked_end(name):
    """A tokenizer whose EOS token is not marked as special."""
    fast = PreTrainedTokenizerFast(tokenizer_object=FAMILIES[name], eos_token="</s>")
    end = FAMILIES[name].token_to_id("<think>")
    return ModelTokenizer(fast, eos_token_ids=[end], vocab_size=10**6), end


@pytest.mark.parametrize("name", FAMILIES)
def test_whole_and_incremental_decoding_skip_the_same_tokens(name):
    tokenizer, end = unmarked_end(name)
    token_ids = [*tokenizer.encode("a"), end, *tokenizer.encode("b"), *tokenizer.special_token_ids]
    decoder = tokenizer.detokenizer()
    decoder.extend(token_ids)

    assert tokenizer.decode(token_ids, skip_special_tokens=True) == decoder.text()
    assert "<think>" not in decoder.text()


class Slow:
    """A slow `transformers` tokenizer, whose own decoding also skips unknown tokens."""

    names = ("<unk>", "a", "</s>")
    convert_ids_to_tokens = names.__getitem__

    @property
    def added_tokens_decoder(self):
        return {2: AddedToken("</s>", special=True)}

    def __len__(self):
        return len(self.names)

    def encode(self, text, **_):
        return [1 if char == "a" else 0 for char in text]

    def decode(self, token_ids, *, skip_special_tokens=False, **_):
        shown = [i for i in token_ids if not (skip_special_tokens and i in (0, 2))]
        return "".join(self.names[i] for i in shown)


def test_a_slow_tokenizers_own_special_tokens_do_not_change_decoding():
    tokenizer = ModelTokenizer(Slow(), eos_token_ids=[2], vocab_size=3)

    assert tokenizer.decode([1, 0, 2], skip_special_tokens=True) == "a<unk>"
    assert decoded(tokenizer, [1, 0, 2]) == "a<unk>"
    assert tokenizer.decode([1, 0, 2]) == "a<unk></s>"
