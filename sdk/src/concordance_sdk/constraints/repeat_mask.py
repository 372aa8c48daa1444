"""Masks tokens that would repeat an item of an array with `uniqueItems`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from concordance_sdk.constraints.schema.unique import Watch
from concordance_sdk.constraints.vocabulary import Vocabulary
from concordance_sdk.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher

#: Limits of the lookahead: tokens tested at a position, and depth in tokens.
_MAX_TRIALS = 64
_MAX_LOOKAHEAD = 12


class RepeatMask:
    """Finds the tokens of a vocabulary that would repeat an item."""

    def __init__(self, vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
        """Use the tokens of a vocabulary."""
        self._vocabulary = vocabulary
        self._tokenizer = tokenizer

    def masked(self, mask: bytes, watch: Watch, matcher: "LLMatcher") -> bytes:
        """Clear the tokens of a mask that would repeat an item.

        First the tokens that complete a repeated item, then those after which a repeated item is
        inevitable: with the items "US" and "UK" used and only these two possible, "U" is cleared.
        """
        kept = self._unrepeated(mask, watch)
        for token_id in self._repeating(kept, watch)[:_MAX_TRIALS]:
            if self._must_repeat(matcher, watch, token_id, _MAX_LOOKAHEAD):
                kept[token_id // 8] &= ~(1 << token_id % 8)
        return bytes(kept)

    def num_before_repeat(self, token_ids: Sequence[int], watch: Watch | None) -> int:
        """Count the leading tokens that do not complete a repeated item."""
        if watch is None:
            return len(token_ids)
        watch = watch.copy()
        for i, token_id in enumerate(token_ids):
            if not watch.read(self._tokenizer.token_bytes(token_id)):
                return i
        return len(token_ids)

    def _unrepeated(self, mask: bytes, watch: Watch) -> bytearray:
        """Clear the tokens of a mask that complete a repeated item."""
        kept = bytearray(mask)
        for token_id, token in self._vocabulary.token_index.containing(watch.suspects()):
            bit = 1 << token_id % 8
            if kept[token_id // 8] & bit and not watch.copy().read(token):
                kept[token_id // 8] &= ~bit
        return kept

    def _repeating(self, mask: bytes | bytearray, watch: Watch) -> list[int]:
        """Return the tokens of a mask that continue a prefix of an earlier item."""
        token_ids = self._vocabulary.token_index.prefixes_of(watch.repeating())
        return [i for i in sorted(token_ids) if mask[i // 8] >> i % 8 & 1]

    def _must_repeat(self, matcher: "LLMatcher", watch: Watch, token_id: int, depth: int) -> bool:
        """True if every continuation of a token, up to a depth, is a repeated item."""
        if not depth:
            return False
        matcher, watch = matcher.deep_copy(), watch.copy()
        matcher.consume_tokens([token_id])
        watch.read(self._tokenizer.token_bytes(token_id))
        mask = matcher.compute_bitmask()
        kept = self._unrepeated(mask, watch) if watch.suspects() else bytearray(mask)
        token_ids = self._repeating(kept, watch)
        if int.from_bytes(kept, "little").bit_count() > len(token_ids):
            return False
        return all(self._must_repeat(matcher, watch, i, depth - 1) for i in token_ids)
