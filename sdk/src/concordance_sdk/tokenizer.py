"""What a mod may expect of the tokenizer that it is handed."""

from collections.abc import Sequence
from typing import Protocol

from concordance_sdk.detokenizer import Detokenizer, WholeDetokenizer


class Tokenizer(Protocol):
    """The model's own tokenizer: text to token ids and back.

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
        """The bytes that a token adds behind other tokens; the name of a special one.

        Tokens may split a character, so that the bytes of one need not be text. None for an id
        that no token has.

        Raises:
            ValueError: The tokens of this vocabulary have no bytes of their own.
        """
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids that add exactly `text` behind other tokens, so that texts can be joined.

        Adds no special tokens of its own accord; recognises theirs where the text spells them
        out, so that `encode(decode(ids))` gives the same text again.
        """
        ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Text of `token_ids`, special tokens included unless they are to be skipped.

        The text is the one that a client sees of a completion of these tokens: where the model's
        tokenizer begins a text with a space, that space is left out. Bytes that are no character,
        or not a whole one, become U+FFFD.
        """
        ...


def detokenizer_of(tokenizer: Tokenizer, *, keeps_special: bool = False) -> Detokenizer:
    """A new incremental detokenizer of a tokenizer.

    It is the tokenizer's own, `tokenizer.detokenizer(keeps_special=...)`, if it has one, and
    decodes the whole list again for each token if not.

    Args:
        tokenizer: The tokenizer.
        keeps_special: Special tokens are part of the text, by their names.

    Examples:
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> text = detokenizer_of(ByteTokenizer())
        >>> _ = text.extend([*"né".encode()])
        >>> text.pieces, text.text()
        (['n', '', 'é'], 'né')
    """
    own = getattr(tokenizer, "detokenizer", None)
    if own is not None:
        return own(keeps_special=keeps_special)
    return WholeDetokenizer(
        lambda ids: tokenizer.decode(ids, skip_special_tokens=not keeps_special)
    )
