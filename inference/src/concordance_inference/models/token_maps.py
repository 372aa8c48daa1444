"""Keeps mlx-lm from building maps of tokens."""

import contextlib
from collections.abc import Generator


@contextlib.contextmanager
def without_token_maps() -> Generator[None]:
    """Load tokenizers without mlx-lm's token maps, which Concordance does not use.

    Building them is slow for large vocabularies and fails for vocabularies with unused ids.
    """
    from mlx_lm import tokenizer_utils  # noqa: PLC0415  # slow to import

    names = ("SPMStreamingDetokenizer", "BPEStreamingDetokenizer")
    naive = tokenizer_utils.NaiveStreamingDetokenizer
    own = {name: getattr(tokenizer_utils, name) for name in names}
    for name in names:
        setattr(tokenizer_utils, name, lambda tokenizer, **_: naive(tokenizer))
    try:
        yield
    finally:
        for name, detokenizer in own.items():
            setattr(tokenizer_utils, name, detokenizer)
