"""Texts to token ids and back, as every chat format does it."""

from collections.abc import Sequence

from concordance_inference.chat.length_limit import LengthLimit
from concordance_inference.chat.token_counts import TokenCounts
from concordance_inference.models.tokenizer import ModelTokenizer


class TokenTexts:
    """Tokenizes texts that are no messages, and decodes tokens. Thread-safe.

    Attributes:
        tokenizer: The model's tokenizer.
        limit: The context, as the limit of a text.
    """

    def __init__(self, tokenizer: ModelTokenizer, context_length: int | None) -> None:
        """Use a tokenizer.

        Args:
            tokenizer: The tokenizer.
            context_length: Limit of a prompt, in tokens; `None` for no limit.
        """
        self.tokenizer = tokenizer
        self.limit = LengthLimit(tokenizer, context_length)
        self._counts = TokenCounts(lambda text: len(self.tokenize(text, adds_special=False)))

    @property
    def special_ids(self) -> frozenset[int]:
        """The special tokens, whose names are in the text of a completion only where it asks."""
        return self.tokenizer.special_token_ids

    def encode(self, text: str, *, adds_special: bool = True) -> list[int]:
        """The token ids of a text that is continued as it is, without a chat template.

        Raises:
            ContextLengthError: It is much longer than the context.
        """
        self.limit.check_tokens(text, param="prompt")
        return self.tokenize(text, adds_special=adds_special)

    def tokenize(self, text: str, *, adds_special: bool = True) -> list[int]:
        """The token ids of a text of any length, with BOS if the tokenizer prepends it."""
        return self.tokenizer.encode_prompt(text, adds_bos=adds_special)

    def count(self, text: str) -> int:
        """The number of tokens of a text."""
        return self._counts.of(text)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, with the names of special tokens."""
        return self.tokenizer.decode(token_ids)

    def token_names(self, token_ids: Sequence[int]) -> list[str]:
        """The names of tokens in the vocabulary, such as `Ġthe`; empty for an unused id."""
        names: list[str | None] = self.tokenizer.hf.convert_ids_to_tokens(list(token_ids))
        return [name or "" for name in names]

    def token_bytes(self, token_id: int, *, at_start: bool = False) -> bytes:
        """Return the bytes that a token adds to a text; the name of a special token."""
        try:
            if at_start:
                return self.tokenizer.start_bytes(token_id)
            return self.tokenizer.token_bytes(token_id)
        except ValueError:  # the vocabulary is not made of bytes
            return self.tokenizer.decode([token_id]).encode()
