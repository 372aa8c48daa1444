"""A model's own tokenizer, as mods, chat formats and the decoder use it."""

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from concordance_inference.engine.decoder import BytesDecoder, Decoder, WindowDecoder


class ModelTokenizer:
    """Text to token ids and back, losing nothing on the way.

    Adds no special tokens of its own accord. Safe to use from several threads: nothing is changed
    after it is made.
    """

    def __init__(self, tokenizer: Any, *, eos_token_ids: Sequence[int], vocab_size: int) -> None:
        """Wrap a tokenizer of transformers, or mlx-lm's wrapper of one.

        Args:
            tokenizer: The tokenizer.
            eos_token_ids: The tokens that end a completion.
            vocab_size: How wide the model's logits are.
        """
        self.hf = tokenizer
        self.eos_token_ids = frozenset(eos_token_ids)
        self._fast: Any = getattr(tokenizer, "backend_tokenizer", None)
        self.vocab_size = min(len(tokenizer), vocab_size)
        self._added: dict[int, Any] = dict(tokenizer.added_tokens_decoder)
        special = {token_id for token_id, added in self._added.items() if added.special}
        self.special_token_ids = frozenset(special) | self.eos_token_ids
        self._kinds = _decoder_kinds(self._fast)
        self._piece_bytes = _BYTES_OF_PIECES.get(self._kinds)
        self._text_bytes = functools.cache(self._bytes_of_text)
        self.new_decoder: Callable[[], Decoder] = self._decoder_recipe()

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; the name of a special one.

        Raises:
            ValueError: The tokens of this vocabulary are not made of bytes.
        """
        if self._piece_bytes is None:
            kinds = ", ".join(self._kinds) or "no known way"
            raise ValueError(f"its tokens are no sequences of bytes (they are decoded by {kinds})")
        if token_id in self._added:
            return str(self._added[token_id].content).encode()
        return self._piece_bytes(cast(str | None, self._fast.id_to_token(token_id)) or "")

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; special tokens are recognised where the text spells them out."""
        if self._fast is None:
            return list(self.hf.encode(text, add_special_tokens=False))
        return list(self._fast.encode(text, add_special_tokens=False).ids)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Text of token ids, special tokens included unless they are to be skipped."""
        ids = list(token_ids)
        if self._fast is not None:
            return str(self._fast.decode(ids, skip_special_tokens=skip_special_tokens))
        return str(
            self.hf.decode(
                ids, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
            )
        )

    def _decoder_recipe(self) -> Callable[[], Decoder]:
        """How a completion's text is put together: by bytes where the vocabulary allows it."""
        if self._piece_bytes is None:
            return lambda: WindowDecoder(functools.partial(self.decode, skip_special_tokens=True))
        strips = "Strip" in self._kinds
        return lambda: BytesDecoder(self._text_bytes, strips_leading_space=strips)

    def _bytes_of_text(self, token_id: int) -> bytes:
        """What a token adds to a text: nothing if it is a special one."""
        return b"" if token_id in self.special_token_ids else self.token_bytes(token_id)


def _decoder_kinds(fast: Any) -> tuple[str, ...]:
    """The types of a fast tokenizer's decoders, in order."""
    decoder = getattr(fast, "decoder", None)
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
