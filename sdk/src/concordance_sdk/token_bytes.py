"""The bytes that the tokens of a vocabulary stand for, as its decoder puts them together.

It reads a tokenizer of the package `tokenizers`, and does not import that package.
"""

import json
from collections.abc import Callable
from typing import Any, cast


class TokenBytes:
    """What each token adds to a text, where a vocabulary's tokens are sequences of bytes.

    Attributes:
        kinds: The types of the tokenizer's decoders, in order.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Look at how a tokenizer decodes.

        Args:
            tokenizer: A `tokenizers.Tokenizer`; `None` for one whose tokens nobody can see into.
        """
        self._tokenizer = tokenizer
        self.kinds = _decoder_kinds(getattr(tokenizer, "decoder", None))
        self._of_piece = _BYTES_OF_PIECES.get(self.kinds)
        added = tokenizer.get_added_tokens_decoder() if tokenizer is not None else {}
        self._added: dict[int, str] = {i: str(token.content) for i, token in added.items()}

    @property
    def is_known(self) -> bool:
        """Whether the tokens are sequences of bytes."""
        return self._of_piece is not None

    def of(self, token_id: int) -> bytes:
        """The bytes that a token stands for; the name of a special one.

        Raises:
            ValueError: The tokens of this vocabulary are not made of bytes.
        """
        if self._of_piece is None:
            kinds = ", ".join(self.kinds) or "no known way"
            raise ValueError(f"its tokens are no sequences of bytes (they are decoded by {kinds})")
        if token_id in self._added:
            return self._added[token_id].encode()
        return self._of_piece(cast(str | None, self._tokenizer.id_to_token(token_id)) or "")


def _decoder_kinds(decoder: Any) -> tuple[str, ...]:
    """The types of a tokenizer's decoders, in order."""
    if decoder is None:
        return ()
    state = json.loads(decoder.__getstate__())
    parts = state["decoders"] if state["type"] == "Sequence" else [state]
    return tuple(part["type"] for part in parts)


def _byte_alphabet() -> dict[int, int]:
    """The printable characters by which byte-level BPE writes bytes, as GPT-2 introduced them."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: byte for byte in plain} | {256 + i: byte for i, byte in enumerate(others)}


_ALPHABET = _byte_alphabet()


def _byte_level(piece: str) -> bytes:
    if all(ord(char) in _ALPHABET for char in piece):
        return piece.translate(_ALPHABET).encode("latin-1")
    return b"".join(
        bytes([_ALPHABET[ord(char)]]) if ord(char) in _ALPHABET else char.encode() for char in piece
    )


def _sentencepiece(piece: str) -> bytes:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes.fromhex(piece[3:5])
    return piece.replace("\u2581", " ").encode()


_SENTENCEPIECE = ("Replace", "ByteFallback", "Fuse")

#: By the decoders of a tokenizer: the bytes that a piece of its vocabulary stands for.
_BYTES_OF_PIECES: dict[tuple[str, ...], Callable[[str], bytes]] = {
    ("ByteLevel",): _byte_level,
    _SENTENCEPIECE: _sentencepiece,
    (*_SENTENCEPIECE, "Strip"): _sentencepiece,
}
