"""Encoding of a text that follows other tokens.

Some tokenizers prepend a space to every text that they encode, or drop one. Tokens forced in the
middle of a completion must add exactly the text.
"""

import re
from collections.abc import Callable, Collection, Sequence

#: Texts to encode in front of another one, so that it is not at the start of the encoded text.
LEAD_INS = ("\n", "|", "a", "0")

Encode = Callable[[str], Sequence[int]]
Adds = Callable[[Sequence[int], str], bool]


class ComposingEncoder:
    """Encodes a text as tokens that add exactly this text after other tokens."""

    def __init__(self, encode: Encode, adds: Adds, names: Collection[str] = ()) -> None:
        """Wrap a tokenizer's own `encode`.

        Args:
            encode: The tokenizer's own, without adding special tokens.
            adds: Returns True if tokens add exactly a text after other tokens.
            names: Tokens that are matched in a text before it is encoded: usually special tokens.
        """
        self._encode = encode
        self._adds = adds
        by_length = sorted((name for name in names if name), key=len, reverse=True)
        pattern = "|".join(map(re.escape, by_length))
        self._split = re.compile(f"({pattern})") if pattern else None

    def encode(self, text: str) -> list[int]:
        """Return token ids that add exactly `text` after other tokens.

        Falls back to the tokenizer's own encoding if there are none: its normalizer may change
        the text, or its vocabulary may have no token for it.
        """
        own = list(self._encode(text))
        if self._adds(own, text):
            return own
        parts = self._split.split(text) if self._split else [text]
        joined = [token_id for part in parts if part for token_id in self._part(part)]
        return joined if self._adds(joined, text) else own

    def _part(self, text: str) -> list[int]:
        """Encode a text without special tokens, or one special token."""
        own = list(self._encode(text))
        if self._adds(own, text):
            return own
        for lead_in in LEAD_INS:
            lead = list(self._encode(lead_in))
            both = list(self._encode(lead_in + text))
            if both[: len(lead)] == lead and self._adds(both[len(lead) :], text):
                return both[len(lead) :]
        return own
