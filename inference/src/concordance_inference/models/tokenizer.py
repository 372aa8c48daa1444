"""A model's own tokenizer, as mods, chat formats and the decoder use it."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from concordance_sdk.token_bytes import TokenBytes

from concordance_inference.engine.decoder import BytesDecoder, Decoder, WindowDecoder

#: A text of so many characters is tokenized as a batch of one: a batch lets other threads of Python
#: run meanwhile, and a single text does not.
_LONG = 2048


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
        added: dict[int, Any] = dict(tokenizer.added_tokens_decoder)
        special = {token_id for token_id, token in added.items() if token.special}
        self.special_token_ids = frozenset(special) | self.eos_token_ids
        self._token_bytes = TokenBytes(self._fast)
        self._text_bytes = functools.cache(self._bytes_of_text)
        self.new_decoder: Callable[[], Decoder] = self._decoder_recipe()

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; the name of a special one.

        Raises:
            ValueError: The tokens of this vocabulary are not made of bytes.
        """
        return self._token_bytes.of(token_id)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; special tokens are recognised where the text spells them out."""
        if self._fast is None:
            return list(self.hf.encode(text, add_special_tokens=False))
        if len(text) < _LONG:
            return list(self._fast.encode(text, add_special_tokens=False).ids)
        return list(self._fast.encode_batch_fast([text], add_special_tokens=False)[0].ids)

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
        if not self._token_bytes.is_known:
            return lambda: WindowDecoder(functools.partial(self.decode, skip_special_tokens=True))
        strips = "Strip" in self._token_bytes.kinds
        return lambda: BytesDecoder(self._text_bytes, strips_leading_space=strips)

    def _bytes_of_text(self, token_id: int) -> bytes:
        """What a token adds to a text: nothing if it is a special one."""
        return b"" if token_id in self.special_token_ids else self.token_bytes(token_id)
