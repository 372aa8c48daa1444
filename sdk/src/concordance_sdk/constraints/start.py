"""Constraints at the start of a text, where some tokenizers drop a space.

SentencePiece tokenizers encode `the` as `▁the` and drop the first space of a text. So at the
start, and only there, `▁the` decodes to `the`, and a text that begins with a space needs two. A
`StartMatcher` matches the first token by its text at the start, and all others by their usual text.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer


class StartTokens:
    """The tokens of a vocabulary, with their bytes at the start of a text and elsewhere."""

    def __init__(
        self,
        tokens: Sequence[bytes],
        starts: Sequence[bytes],
        special_ids: frozenset[int],
        encode: Callable[[str], Sequence[int]],
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        """Compare the bytes of tokens at the start and elsewhere.

        Args:
            tokens: The bytes of each token after other tokens.
            starts: The bytes of each token at the start.
            special_ids: Tokens that are not part of a text.
            encode: Encodes a text that follows other tokens.
            decode: Decodes token ids.
        """
        self._tokens = tokens
        self.starts = list(starts)
        self._encode = encode
        self._special_ids = special_ids
        self._differ = frozenset(
            i for i, (a, b) in enumerate(zip(tokens, starts, strict=True)) if a != b
        )
        empty = [i for i in sorted(self._differ - special_ids) if not starts[i]]
        #: Tokens that are empty at the start, and after which all others have their usual bytes.
        self.empty = [i for i in empty if decode([i, i]).encode() == tokens[i]]
        self.empty_bits = _bits(self.empty)
        self.differing_bits = _bits(self._differ - special_ids)

    @property
    def first(self) -> list[bytes]:
        """The bytes at the start of each token that differs there; empty for all others.

        llguidance allows only one of several tokens with equal bytes.
        """
        own = self._differ - self._special_ids
        return [data if i in own else b"" for i, data in enumerate(self.starts)]

    def __bool__(self) -> bool:
        return bool(self._differ)

    def spelled(self, token_id: int, tokenizer: "LLTokenizer") -> list[int] | None:
        """Return tokens with the bytes that a token has at the start; `None` if there are none."""
        if token_id not in self._differ or token_id in self._special_ids:
            return [token_id]
        data = self.starts[token_id]
        if not data:
            return [] if token_id in self.empty else None
        try:
            token_ids = tokenizer.greedy_tokenize(data.decode())
        except UnicodeDecodeError:
            return None
        return token_ids if b"".join(self._tokens[i] for i in token_ids) == data else None

    def at_start(self, token_ids: Sequence[int]) -> list[int]:
        """Return tokens with the same bytes at the start; empty if that is not certain."""
        data = b"".join(self._tokens[i] for i in token_ids)
        try:
            candidates = [list(self._encode(" " + data.decode())), list(token_ids)]
        except UnicodeDecodeError:
            candidates = [list(token_ids)]
        return next((ids for ids in candidates if ids and self._decodes_to(ids, data)), [])

    @functools.cached_property
    def _by_start(self) -> dict[bytes, list[int]]:
        """Bytes at the start -> the tokens that have them only there."""
        by_start: dict[bytes, list[int]] = {}
        for token_id in sorted(self._differ - self._special_ids):
            by_start.setdefault(self.starts[token_id], []).append(token_id)
        by_start.pop(b"", None)
        return by_start

    def decoding_to_prefix_of(self, data: bytes) -> list[int]:
        """Return the tokens that differ at the start and are a non-empty prefix of `data` there."""
        ends = range(1, len(data) + 1)
        return [i for end in ends for i in self._by_start.get(data[:end], ())]

    def decoding_beyond(self, data: bytes) -> list[int]:
        """Return the tokens that differ at the start and continue beyond `data` there."""
        longer = (s for s in self._by_start if len(s) > len(data) and s.startswith(data))
        return [i for start in longer for i in self._by_start[start]]

    def _decodes_to(self, token_ids: Sequence[int], data: bytes) -> bool:
        """True if tokens at the start certainly decode to `data`."""
        first = token_ids[0]
        is_certain = bool(self.starts[first]) or first in self.empty
        return is_certain and self.decoded(token_ids) == data

    def decoded(self, token_ids: Sequence[int]) -> bytes:
        """Return the bytes of a text that consists of these tokens."""
        return self.starts[token_ids[0]] + b"".join(self._tokens[i] for i in token_ids[1:])


def _mask_of(matcher: "LLMatcher") -> int:
    """Return the tokens allowed next, bit i for token i, without changing the matcher.

    llguidance puts a matcher in which no token is allowed into an error state for good.
    """
    copy = matcher.deep_copy()
    mask = copy.compute_bitmask()
    return 0 if copy.is_stopped() and not copy.is_accepting() else int.from_bytes(mask, "little")


def _bits(token_ids: Iterable[int]) -> int:
    """Return an integer with bit i set for each token i."""
    bits = bytearray(1 + max(token_ids := list(token_ids), default=0) // 8)
    for token_id in token_ids:
        bits[token_id // 8] |= 1 << token_id % 8
    return int.from_bytes(bits, "little")


class StartMatcher:
    """A drop-in for an `LLMatcher` whose first token is at the start of a text."""

    def __init__(
        self,
        matcher: "LLMatcher",
        first: "LLMatcher",
        tokenizer: "LLTokenizer",
        tokens: StartTokens,
    ) -> None:
        """Create a matcher at the start of a text.

        Args:
            matcher: A fresh matcher over the usual bytes of all tokens.
            first: A fresh matcher of the same grammar over the bytes at the start of the tokens
                that differ there.
            tokenizer: The tokenizer of `matcher`.
            tokens: The bytes of tokens at the start.
        """
        self._matcher = matcher
        self._first = first
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._num_tokens = 0
        self._is_stuck = False  # no token is allowed as the first one
        self._num_spelled = 0  # tokens given to `_matcher` in place of the first one

    def compute_bitmask(self) -> bytes:
        """Return the tokens allowed next, as a packed bitmask."""
        if self._num_tokens:
            return self._matcher.compute_bitmask()
        usual = _mask_of(self._matcher)
        bits = (usual & ~self._tokens.differing_bits) | self._differing_mask()
        if usual:
            bits |= self._tokens.empty_bits
        self._is_stuck = not bits
        return bits.to_bytes(-(-max(self._tokenizer.vocab_size, bits.bit_length()) // 8), "little")

    def _differing_mask(self) -> int:
        """Return the allowed tokens among those that differ at the start.

        `_first` knows them, except where bytes are forced: llguidance then allows only the tokens
        of the canonical tokenization, so they are searched by their bytes.
        """
        forced = self._matcher.deep_copy().compute_ff_bytes()
        if not forced:
            return _mask_of(self._first) & self._tokens.differing_bits
        token_ids = self._tokens.decoding_to_prefix_of(forced)
        for token_id in self._tokens.decoding_beyond(forced):
            if self.validate_tokens([token_id]):
                token_ids.append(token_id)
        return _bits(token_ids)

    def compute_ff_tokens(self) -> list[int]:
        """Return the tokens that are forced next."""
        forced = self._matcher.compute_ff_tokens()
        return forced if self._num_tokens or not forced else self._tokens.at_start(forced)

    def validate_tokens(self, token_ids: list[int]) -> int:
        """Count the leading tokens that are allowed next."""
        if self._num_tokens or not token_ids:
            return self._matcher.validate_tokens(token_ids)
        first = self._tokens.spelled(token_ids[0], self._tokenizer)
        if first is None:
            return 0
        count = self._matcher.validate_tokens([*first, *token_ids[1:]]) - len(first) + 1
        return max(count, 0)

    def consume_tokens(self, token_ids: list[int]) -> bool:
        """Append tokens; return True on success."""
        if not token_ids:
            return True
        matched = token_ids
        if not self._num_tokens:
            first = self._tokens.spelled(token_ids[0], self._tokenizer)
            if first is None:
                return False
            self._num_spelled = len(first)
            matched = [*first, *token_ids[1:]]
        self._num_tokens += len(token_ids)
        return not matched or self._matcher.consume_tokens(matched)

    def rollback(self, num_tokens: int) -> bool:
        """Remove the last tokens; return True on success."""
        if not num_tokens:
            return True
        self._num_tokens -= num_tokens
        if not self._num_tokens:
            num_tokens += self._num_spelled - 1
        return not num_tokens or self._matcher.rollback(num_tokens)

    def is_stopped(self) -> bool:
        """True if nothing can follow, or matching has failed."""
        return self._matcher.is_stopped() or (not self._num_tokens and self._is_stuck)

    def is_accepting(self) -> bool:
        """True if the tokens so far match the whole grammar."""
        return self._matcher.is_accepting()

    def is_error(self) -> bool:
        """True if matching has failed."""
        return self._matcher.is_error()

    def get_error(self) -> str:
        """Return why matching has failed; empty if it has not."""
        return self._matcher.get_error()

    def stop_reason(self) -> str:
        """Return why nothing can follow."""
        return "NoExtensionBias" if self._is_stuck else self._matcher.stop_reason()

    def deep_copy(self) -> "StartMatcher":
        """Return an independent copy."""
        copy = StartMatcher(
            self._matcher.deep_copy(), self._first.deep_copy(), self._tokenizer, self._tokens
        )
        copy._num_tokens, copy._num_spelled = self._num_tokens, self._num_spelled
        return copy
