"""Tiny tokenizers with the decoders of every family."""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_SPIECES = [
    *("▁", "▁▁", "▁▁▁", "▁the", "▁not", "▁a", "the", "not", "a", "b", "c", "h", "e", "t", "r"),
    *("é", "日", "😀", "�", ".", ",", "!", "▁here", "here", "\n", "n", "o", "|", "▁|", "▁b"),
]


def _bpe(pieces, merges=(), **options):
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    return Tokenizer(models.BPE(vocab=vocab, merges=list(merges), **options))


def _with_added(made):
    """Add special and ordinary added tokens, as chat models have them."""
    made.add_special_tokens(["<s>", "</s>", AddedToken("<mask>", lstrip=True, rstrip=True)])
    made.add_tokens(
        [
            AddedToken("▁▁▁▁", special=False, normalized=False),
            AddedToken("<think>", special=False, normalized=False),
            AddedToken(" x ", special=False, normalized=True, lstrip=True),
            AddedToken("é̃", special=False),
            AddedToken("Ġé", special=False),
        ]
    )
    return made


def byte_level(*, prefix_space=False, strip=False):
    """GPT-2, Llama 3, Qwen; RoBERTa with a space before every text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("h", "e"), ("Ġ", "he"), ("Ġ", "b"), ("Ã", "©"), ("ð", "Ł"), ("r", "e"), ("he", "re")]
    merges += [("Ġ", "here"), ("a", "b"), ("Ċ", "Ċ"), ("Ġ", "Ġ")]
    made = _bpe([*alphabet, *(a + b for a, b in merges)], merges)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    made.decoder = decoders.ByteLevel()
    if strip:
        made.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    return _with_added(made)


def sentencepiece(*, stages=(), has_bytes=True, prepend=True, metaspace=None, bos=False):
    """Llama 2, Mistral, Phi-3 and Gemma: spaces are encoded as ▁, rare characters as bytes."""
    pieces = ["<unk>", *(_BYTES if has_bytes else ()), *_SPIECES]
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("▁", "a"), ("▁", "b"), ("▁", "|"), ("▁", "▁")]
    merges += [("n", "o"), ("no", "t"), ("▁", "not"), ("h", "e"), ("he", "r"), ("her", "e")]
    merges += [("▁", "here")]
    pieces += [a + b for a, b in merges]
    made = _bpe(pieces, merges, byte_fallback=has_bytes, unk_token="<unk>", fuse_unk=True)
    if metaspace:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=metaspace, split=False)
    else:
        steps = [normalizers.Replace(" ", "▁")]
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁")] * prepend + steps)
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), *stages])
    made = _with_added(made)
    if bos:
        made.post_processor = TemplateProcessing(
            single="<s> $A </s>",
            special_tokens=[(t, made.token_to_id(t)) for t in ("<s>", "</s>")],
        )
    return made


FALLBACK, FUSE = decoders.ByteFallback(), decoders.Fuse()


def llama2(**options):
    return sentencepiece(stages=[FALLBACK, FUSE, decoders.Strip(" ", 1, 0)], **options)


def gemma():
    return sentencepiece(stages=[FALLBACK, FUSE], prepend=False)


def metaspace(scheme):
    """T5, XLM-R: the decoder drops the spaces of the first token."""
    made = sentencepiece(has_bytes=False, metaspace=scheme)
    made.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return made


def word_piece(*, cleanup=True):
    words = [
        "[UNK]",
        "hel",
        "##lo",
        "my",
        "world",
        "##s",
        ".",
        ",",
        "'",
        "n",
        "'m",
        "do",
        "not",
        "a",
    ]
    vocab = {word: i for i, word in enumerate([*words, "##a", "##b", "b", " n't", "##", ""])}
    made = Tokenizer(models.WordPiece(vocab=vocab, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece(prefix="##", cleanup=cleanup)
    return _with_added(made)


def unigram():
    pieces = ["<unk>", *_BYTES, *dict.fromkeys(_SPIECES)]
    made = Tokenizer(
        models.Unigram(
            [(p, -float(i % 7 + 1)) for i, p in enumerate(pieces)], 0, byte_fallback=True
        )
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), FALLBACK, FUSE, decoders.Strip(" ", 1, 0)]
    )
    return _with_added(made)


def words(decoder=None):
    names = [
        "u",
        "<0x61>",
        "<0xC3>",
        "<0xa9>",
        "<0x+A>",
        "",
        "a",
        "a</w>",
        "b",
        " c",
        "|",
        "<pad>",
        "▁",
    ]
    vocab = {name: i for i, name in enumerate(names)}
    made = Tokenizer(models.WordLevel(vocab=vocab, unk_token="u"))
    if decoder is not None:
        made.decoder = decoder
    return _with_added(made)


def with_holes():
    """Llama 2, with unused ids."""
    pieces = ["<unk>", *_BYTES, *_SPIECES]
    vocab = {piece: 3 * i for i, piece in enumerate(pieces)}
    made = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True, unk_token="<unk>"))
    made.decoder = llama2().decoder
    made.normalizer = llama2().normalizer
    return _with_added(made)


#: Families whose tokens are byte sequences.
BY_PIECE = {
    "gpt2": byte_level(),
    "roberta": byte_level(prefix_space=True),
    "byte_level_strip": byte_level(strip=True),
    "llama2": llama2(),
    "llama2_metaspace": llama2(metaspace="first"),
    "strip_two": sentencepiece(stages=[FALLBACK, FUSE, decoders.Strip(" ", 2, 0)]),
    "gemma": gemma(),
    "no_fuse": sentencepiece(stages=[FALLBACK]),
    "no_bytes": sentencepiece(stages=[FUSE, decoders.Strip(" ", 1, 0)], has_bytes=False),
    "t5_first": metaspace("first"),
    "t5_always": metaspace("always"),
    "t5_never": metaspace("never"),
    "unigram": unigram(),
    "word_piece": word_piece(),
    "word_piece_plain": word_piece(cleanup=False),
    "words": words(),
    "words_fallback": words(decoders.ByteFallback()),
    "replace": words(decoders.Sequence([decoders.Replace("a", "xyz"), decoders.ByteFallback()])),
    "regex": words(decoders.Replace(Regex("[ab]+"), "xy")),
    "strip_each": words(decoders.Strip("a", 1, 0)),
    "nested": words(decoders.Sequence([decoders.Sequence([decoders.Replace("▁", " ")]), FUSE])),
    "holes": with_holes(),
}

#: Families whose tokens are not byte sequences, so the whole list is decoded.
AS_A_WHOLE = {
    "ctc": words(decoders.CTC()),
    "bpe_suffix": words(decoders.BPEDecoder("</w>")),
    "fused_replace": words(decoders.Sequence([FUSE, decoders.Replace("aa", "b")])),
    "fallback_metaspace": words(decoders.Sequence([FALLBACK, decoders.Metaspace()])),
    "fused_word_piece": words(decoders.Sequence([FUSE, decoders.WordPiece()])),
    "byte_level_replace": words(
        decoders.Sequence([decoders.ByteLevel(), decoders.Replace("ab", "")])
    ),
    "metaspace_strip": words(
        decoders.Sequence([decoders.Metaspace(), FUSE, decoders.Strip(" ", 1, 0)])
    ),
}

FAMILIES = {**BY_PIECE, **AS_A_WHOLE}
