"""The model's tokenizer, as mods, chat templates and the engine use it."""

import functools
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

from concordance_sdk.composed import ComposingEncoder
from concordance_sdk.detokenizer import Detokenizer
from concordance_sdk.token_bytes import TokenBytes

logger = logging.getLogger(__name__)

#: Number of tokens whose bytes are verified, evenly spread over the vocabulary; added tokens are
#: always verified.
_NUM_CHECKED = 512

#: Texts of at least this many characters are tokenized as a batch of one: `tokenizers` releases the
#: GIL for batches only.
_LONG = 2048


class ModelTokenizer:
    """Encodes and decodes text.

    Never adds special tokens unless requested. Thread-safe.

    Attributes:
        hf: The wrapped `transformers` tokenizer.
        vocab_size: Exclusive upper bound of the token ids that have logits.
        missing_ids: Unused ids below `vocab_size`. They have logits, but must not be sampled.
        eos_token_ids: The tokens that end a completion.
        special_token_ids: The tokens that are not part of the text.
        added_token_ids: The tokens that were added to the vocabulary, special ones included.
    """

    def __init__(self, tokenizer: Any, *, eos_token_ids: Sequence[int], vocab_size: int) -> None:
        """Wrap a `transformers` tokenizer, or mlx-lm's wrapper of one.

        The bytes of its tokens are verified against its own decoding. If they differ, or if its
        decoder is not supported, text is decoded as a whole: correct, but slower and not streamed.

        Args:
            tokenizer: The tokenizer.
            eos_token_ids: The tokens that end a completion.
            vocab_size: Width of the model's logits.
        """
        self.hf = tokenizer
        self.eos_token_ids = frozenset(eos_token_ids)
        self._fast: Any = getattr(tokenizer, "backend_tokenizer", None)
        added: dict[int, Any] = dict(tokenizer.added_tokens_decoder)
        special = {token_id for token_id, token in added.items() if token.special}
        self.special_token_ids = frozenset(special) | self.eos_token_ids
        self.added_token_ids = frozenset(added)
        existing = self._existing(max(added, default=-1), vocab_size)
        self.vocab_size = existing[-1] + 1 if existing else 0
        self.missing_ids = frozenset(range(self.vocab_size)).difference(existing)
        self._token_bytes = TokenBytes(self._fast, self._own_decode)
        self._check([*existing[:: 1 + len(existing) // _NUM_CHECKED], *sorted(added)])
        names = [str(token.content) for token in added.values()]
        self._composing = ComposingEncoder(self.encode_prompt, self._adds, names)

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that a token adds after other tokens; a special token adds its name.

        Raises:
            ValueError: The tokens of this vocabulary have no bytes of their own.
        """
        return self._token_bytes.of(token_id)

    def start_bytes(self, token_id: int) -> bytes:
        """Return the bytes that a token adds at the start of a text.

        Raises:
            ValueError: The tokens of this vocabulary have no bytes of their own.
        """
        return self._token_bytes.at_start(token_id)

    def detokenizer(
        self,
        *,
        keeps_special: bool = False,
        skipped: Collection[int] = (),
        kept: Collection[int] = (),
    ) -> Detokenizer:
        """Return a new incremental detokenizer.

        Args:
            keeps_special: Keep all special tokens in the text, by name.
            skipped: More tokens that are not part of the text.
            kept: Special tokens to keep in the text, by name.
        """
        special = frozenset() if keeps_special else self.special_token_ids.difference(kept)
        return self._token_bytes.detokenizer(skipped=special.union(skipped))

    @property
    def new_decoder(self) -> Callable[..., Detokenizer]:
        """Factory of detokenizers for completions."""
        return self.detokenizer

    def encode(self, text: str) -> list[int]:
        """Return token ids that add exactly `text` after other tokens.

        The names of special tokens in the text become special tokens.
        """
        return self._composing.encode(text)

    def encode_prompt(self, text: str, *, adds_bos: bool = False) -> list[int]:
        """Return the token ids of a text at the start of a sequence.

        The names of special tokens in the text become special tokens.

        Args:
            text: The text.
            adds_bos: Prepend the tokenizer's prefix, usually a BOS token, unless the text already
                starts with it.
        """
        token_ids = self._own_encode(text, adds_special=False)
        prefix = self._prefix if adds_bos else []
        return token_ids if token_ids[: len(prefix)] == prefix else prefix + token_ids

    def encode_whole(self, text: str) -> list[int]:
        """Return the token ids of a text, with the special tokens that the tokenizer adds."""
        return self._own_encode(text, adds_special=True)

    def encode_with_begins(self, text: str) -> tuple[list[int], list[int]] | None:
        """Return the token ids of a text, and the character offset at which each token starts.

        `None` if the tokenizer reports no offsets, or if its tokens have no bytes of their own.
        """
        if self._fast is None or not self._token_bytes.is_known:
            return None
        encoded = self._fast.encode_batch([text], add_special_tokens=False)[0]
        return list(encoded.ids), [begin for begin, _ in encoded.offsets]

    @property
    def has_token_bytes(self) -> bool:
        """True if the tokens have bytes of their own."""
        return self._token_bytes.is_known

    def bytes_of(self, token_ids: Sequence[int]) -> bytes:
        """Return the bytes that tokens add after others.

        Raises:
            ValueError: The tokens of this vocabulary have no bytes of their own.
        """
        return b"".join(map(self._token_bytes.of, token_ids))

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of token ids, with or without the `special_token_ids`."""
        skipped = self.special_token_ids if skip_special_tokens else ()
        return self._token_bytes.decode(token_ids, skipped=skipped)

    @functools.cached_property
    def _prefix(self) -> list[int]:
        """The tokens that the tokenizer prepends to every text, usually BOS."""
        text = "a"
        alone = self._own_encode(text, adds_special=False)
        whole = self._own_encode(text, adds_special=True)
        begins = (i for i in range(len(whole)) if whole[i : i + len(alone)] == alone)
        return whole[: next(begins, 0)]

    def _own_encode(self, text: str, *, adds_special: bool) -> list[int]:
        if self._fast is None:
            return list(self.hf.encode(text, add_special_tokens=adds_special))
        if len(text) < _LONG:
            return list(self._fast.encode(text, add_special_tokens=adds_special).ids)
        return list(self._fast.encode_batch_fast([text], add_special_tokens=adds_special)[0].ids)

    def _own_decode(self, token_ids: Sequence[int]) -> str:
        if self._fast is not None:
            return str(self._fast.decode(token_ids, skip_special_tokens=False))
        return str(self.hf.decode(token_ids, clean_up_tokenization_spaces=False))

    def _adds(self, token_ids: Sequence[int], text: str) -> bool:
        """True if `token_ids` add exactly `text` after other tokens."""
        if self._token_bytes.is_known:
            return self.bytes_of(token_ids) == text.encode()
        before = self._own_encode("a", adds_special=False)
        return self.decode([*before, *token_ids]) == self.decode(before) + text

    def _existing(self, last_added: int, width: int) -> list[int]:
        """Return the ids in use below `width`, the width of the logits, in order."""
        names = self.hf.convert_ids_to_tokens if self._fast is None else self._fast.id_to_token
        count = max(len(self.hf), last_added + 1)
        if self._fast is None:
            return list(range(min(count, width)))
        if width > 2 * count:
            count = max(count, 1 + max(self._fast.get_vocab().values(), default=-1))
            width = min(width, count)
        named = cast(list[str | None], list(map(names, range(width))))
        return [i for i, name in enumerate(named) if name is not None]

    def _check(self, token_ids: list[int]) -> None:
        """Verify the bytes of some tokens against the tokenizer's own decoding."""
        token_ids = [token_id for token_id in token_ids if token_id < self.vocab_size]
        if not self._token_bytes.check(token_ids):
            logger.warning(
                "the tokens of this model have no bytes of their own: %s. Text is decoded as a "
                "whole and not streamed, and constraints are rejected",
                self._token_bytes.why_unknown,
            )
