"""Tokenizers of real models with 49,000 and 200,000 tokens."""

from functools import cache

import mlx_lm.utils
from concordance_inference.bench.cases.constraints import O200k
from concordance_inference.models.converted import converted
from concordance_inference.models.embedded import embedded_gguf
from concordance_inference.models.tokenizer import ModelTokenizer


@cache
def smollm():
    """Return the tokenizer of the embedded default model."""
    tokenizer = mlx_lm.utils.load_tokenizer(converted(embedded_gguf(), progress=lambda _: None))
    return ModelTokenizer(
        tokenizer, eos_token_ids=sorted(tokenizer.eos_token_ids), vocab_size=10**6
    )


@cache
def o200k():
    return O200k()
