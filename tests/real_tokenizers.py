"""Small tokenizers of the two common kinds, trained on a fixed text."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from concordance_sdk.testing import ByteTokenizer, FolderTokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = Path(__file__).parent.parent
KINDS = ("bytes", "byte_level", "sentencepiece")


def prose():
    return [(ROOT / "LICENSE").read_text("utf-8")]


def byte_level():
    """Train a byte-level BPE, as in GPT-2, Llama 3 and Qwen."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<eos>", "<think>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(prose(), trainer)
    return tokenizer


def sentencepiece():
    """Train a SentencePiece BPE, as in Llama 2 and Mistral: leading space, byte fallback."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400, limit_alphabet=90, special_tokens=["<unk>", "<eos>"], show_progress=False
    )
    tokenizer.train_from_iterator([line for text in prose() for line in text.split()], trainer)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    state = json.loads(tokenizer.to_str())
    vocab = state["model"]["vocab"]
    vocab |= {f"<0x{byte:02X}>": len(vocab) + byte for byte in range(256)}
    state["model"] |= {"byte_fallback": True, "unk_token": "<unk>"}
    return Tokenizer.from_str(json.dumps(state))


def write_tokenizer(folder, tokenizer, eos="<eos>"):
    """Write the tokenizer files of a model folder."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": eos}))
    return folder


@cache
def tokenizer_of(kind):
    if kind == "bytes":
        return ByteTokenizer()
    make = {"byte_level": byte_level, "sentencepiece": sentencepiece}[kind]
    with TemporaryDirectory() as folder:
        return FolderTokenizer(write_tokenizer(Path(folder), make()))
