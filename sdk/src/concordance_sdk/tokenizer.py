"""The interface of the tokenizer that mods are given."""

from collections.abc import Collection, Sequence
from typing import Protocol

from concordance_sdk.detokenizer import Detokenizer, WholeDetokenizer


class Tokenizer(Protocol):
    """The model's tokenizer: encodes text to token ids and decodes them.

    Examples:
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> tokenizer = ByteTokenizer()
        >>> tokenizer.decode(tokenizer.encode("Hi<eos>"), skip_special_tokens=True)
        'Hi'
    """

    @property
    def vocab_size(self) -> int:
        """The number of token ids; they are 0 to `vocab_size - 1`."""
        ...

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """The end-of-sequence tokens, which end a completion."""
        ...

    @property
    def special_token_ids(self) -> frozenset[int]:
        """Tokens that have a name but are not part of a text."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that a token adds after other tokens; for a special token, its name.

        A token can be part of a character, so its bytes need not be valid UTF-8. Empty for an
        unused id.

        Raises:
            ValueError: The tokens of this vocabulary are not byte sequences.
        """
        ...

    def encode(self, text: str) -> list[int]:
        """Return token ids that add exactly `text` after other tokens, so that texts can be joined.

        Adds no special tokens, but recognizes their names in the text, so that
        `encode(decode(ids))` decodes to the same text.
        """
        ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Decode token ids; special tokens become their names, unless they are skipped.

        The result is the text that a client receives for a completion of these tokens: the leading
        space that some tokenizers add to a text is removed. Invalid or incomplete UTF-8 becomes
        U+FFFD.
        """
        ...


def detokenizer_of(
    tokenizer: Tokenizer, *, keeps_special: bool = False, kept: Collection[int] = ()
) -> Detokenizer:
    """Return a new incremental detokenizer for a tokenizer.

    Uses the tokenizer's own `detokenizer(keeps_special=...)` if it has one; otherwise decodes the
    whole list for each token.

    Args:
        tokenizer: The tokenizer.
        keeps_special: True if special tokens are part of the text, by name.
        kept: Special tokens that are part of the text in any case, if its `detokenizer` takes them.

    Examples:
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> text = detokenizer_of(ByteTokenizer())
        >>> _ = text.extend([*"né".encode()])
        >>> text.pieces, text.text()
        (['n', '', 'é'], 'né')
    """
    own = getattr(tokenizer, "detokenizer", None)
    if own is not None:
        return own(keeps_special=keeps_special, **({"kept": kept} if kept else {}))
    return WholeDetokenizer(
        lambda ids: tokenizer.decode(ids, skip_special_tokens=not keeps_special)
    )
