"""What a mod may expect of the tokenizer that it is handed."""

from collections.abc import Sequence
from typing import Protocol


class Tokenizer(Protocol):
    """The model's own tokenizer: text to token ids and back, losing nothing on the way.

    Examples:
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> tokenizer = ByteTokenizer()
        >>> tokenizer.decode(tokenizer.encode("Hi<eos>"), skip_special_tokens=True)
        'Hi'
    """

    @property
    def vocab_size(self) -> int:
        """Token ids are below this."""
        ...

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """The tokens that end a completion."""
        ...

    @property
    def special_token_ids(self) -> frozenset[int]:
        """The tokens that stand for no text: they have a name, and nothing spells them."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; the name of a special one.

        Tokens may split a character, so that the bytes of one need not be text.

        Raises:
            ValueError: The tokens of this vocabulary are not made of bytes.
        """
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`.

        Adds no special tokens of its own accord; recognises theirs where the text spells them
        out, so that `encode(decode(ids))` gives the same text again.
        """
        ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Text of `token_ids`, special tokens included unless they are to be skipped.

        Bytes that are no character, or not a whole one, become U+FFFD.
        """
        ...
