"""The model's tokenizer with the keywords and names that older mods use."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from concordance_sdk import Tokenizer


class OlderTokenizer:
    """A tokenizer that also answers as those of `transformers` do, as far as mods asked.

    It never adds special tokens of its own accord, whatever is asked.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Answer for a tokenizer."""
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        """What else is asked, the tokenizer itself answers."""
        return getattr(self._tokenizer, name)

    def __len__(self) -> int:
        return self._tokenizer.vocab_size

    def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
        """The token ids of a text, as `input_ids`."""
        return {"input_ids": self.encode(text, **options)}

    @property
    def eos_token_id(self) -> int | None:
        """The token that ends a completion; one of them, if there are several."""
        return min(self._tokenizer.eos_token_ids, default=None)

    @property
    def eos_token(self) -> str | None:
        """How that token is written."""
        return None if self.eos_token_id is None else self.decode(self.eos_token_id)

    def encode(self, text: str, add_special_tokens: bool = False, **options: Any) -> list[int]:  # noqa: FBT001, FBT002
        """Token ids of a text."""
        del add_special_tokens, options
        return self._tokenizer.encode(text)

    def decode(
        self,
        token_ids: int | Iterable[int],
        skip_special_tokens: bool = False,  # noqa: FBT001, FBT002
        **options: Any,
    ) -> str:
        """Text of token ids, or of one."""
        del options
        each = list(token_ids) if isinstance(token_ids, Iterable) else [token_ids]
        return self._tokenizer.decode(
            [int(token_id) for token_id in each], skip_special_tokens=skip_special_tokens
        )

    def convert_ids_to_tokens(self, token_ids: int | Sequence[int]) -> Any:
        """What a token reads as, or each of several."""
        if isinstance(token_ids, Sequence):
            return [self.decode(token_id) for token_id in token_ids]
        return self.decode(token_ids)

    def get_vocab(self) -> dict[str, int]:
        """The token of each text that is one; of several that read the same, the first."""
        vocab: dict[str, int] = {}
        for token_id in range(len(self)):
            vocab.setdefault(self.decode(token_id), token_id)
        return vocab


@functools.lru_cache(8)
def older_tokenizer(tokenizer: Tokenizer) -> OlderTokenizer:
    """The one that answers for a tokenizer; the same for the same, since others remember by it."""
    return OlderTokenizer(tokenizer)


def tokenize(text: str, tokenizer: Any, *, add_special_tokens: bool = False) -> list[int]:
    """Token ids of a text."""
    del add_special_tokens
    return list(tokenizer.encode(text))
