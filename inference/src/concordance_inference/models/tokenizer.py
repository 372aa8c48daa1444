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
        self.new_decoder: Callable[[], Decoder] = self._decoder_recipe()

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
        kinds = _decoder_kinds(self._fast)
        if kinds == ("ByteLevel",):
            return lambda: BytesDecoder(self._byte_level_bytes)
        if kinds[:3] == ("Replace", "ByteFallback", "Fuse") and kinds[3:] in ((), ("Strip",)):
            strips = kinds[3:] == ("Strip",)
            return lambda: BytesDecoder(self._sentencepiece_bytes, strips_leading_space=strips)
        return lambda: WindowDecoder(functools.partial(self.decode, skip_special_tokens=True))

    @functools.cache  # noqa: B019  # a tokenizer lives as long as its model
    def _byte_level_bytes(self, token_id: int) -> bytes:
        if token_id in self._added:
            return self._added_bytes(token_id)
        piece = cast(str | None, self._fast.id_to_token(token_id)) or ""
        return b"".join(_BYTES.get(char) or char.encode() for char in piece)

    @functools.cache  # noqa: B019
    def _sentencepiece_bytes(self, token_id: int) -> bytes:
        if token_id in self._added:
            return self._added_bytes(token_id)
        piece = cast(str | None, self._fast.id_to_token(token_id)) or ""
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            return bytes.fromhex(piece[3:5])
        return piece.replace("\u2581", " ").encode()

    def _added_bytes(self, token_id: int) -> bytes:
        added = self._added[token_id]
        return b"" if added.special else str(added.content).encode()


def _decoder_kinds(fast: Any) -> tuple[str, ...]:
    """The types of a fast tokenizer's decoders, in order."""
    decoder = getattr(fast, "decoder", None)
    if decoder is None:
        return ()
    state = json.loads(decoder.__getstate__())
    parts = state["decoders"] if state["type"] == "Sequence" else [state]
    return tuple(part["type"] for part in parts)


def _byte_alphabet() -> dict[str, bytes]:
    """The printable characters by which byte-level BPE writes bytes, as GPT-2 introduced them."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    alphabet = {chr(byte): bytes([byte]) for byte in plain}
    return alphabet | {chr(256 + i): bytes([byte]) for i, byte in enumerate(others)}


_BYTES = _byte_alphabet()
