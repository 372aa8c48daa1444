"""Constraints at the start of a text, where some tokenizers leave out a space.

SentencePiece tokenizers write `the` as `▁the` and drop the first space of a text. So at the start,
and only there, `▁the` reads as `the`, and a text that begins with a space has to be written with
two. A `StartMatcher` matches the first token by what it reads as there, and all others as they are.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer


class StartTokens:
    """What the tokens of a vocabulary read as at the start of a text."""

    def __init__(
        self,
        tokens: Sequence[bytes],
        starts: Sequence[bytes],
        special_ids: frozenset[int],
        encode: Callable[[str], Sequence[int]],
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        """Compare what tokens read as at the start and elsewhere.

        Args:
            tokens: The bytes that each token adds behind others.
            starts: The bytes that each token adds at the start.
            special_ids: Tokens that are not part of a text.
            encode: Token ids that add a text behind other tokens.
            decode: The text of token ids.
        """
        self._tokens = tokens
        self.starts = list(starts)
        self._encode = encode
        self._special_ids = special_ids
        self._differ = frozenset(
            i for i, (a, b) in enumerate(zip(tokens, starts, strict=True)) if a != b
        )
        unread = [i for i in sorted(self._differ - special_ids) if not starts[i]]
        #: Tokens that read as nothing, and behind which all others read as they do elsewhere.
        self.unread = [i for i in unread if decode([i, i]).encode() == tokens[i]]
        self.unreadable = _bits(self.unread)
        self.differing = _bits(self._differ - special_ids)

    @property
    def first(self) -> list[bytes]:
        """The bytes of the tokens that read in another way at the start; none for others.

        Of tokens with the same bytes, llguidance allows only one.
        """
        own = self._differ - self._special_ids
        return [data if i in own else b"" for i, data in enumerate(self.starts)]

    def __bool__(self) -> bool:
        return bool(self._differ)

    def spelled(self, token_id: int, tokenizer: "LLTokenizer") -> list[int] | None:
        """Tokens that add what a token reads as at the start; `None` if there are none."""
        if token_id not in self._differ or token_id in self._special_ids:
            return [token_id]
        data = self.starts[token_id]
        if not data:
            return [] if token_id in self.unread else None
        try:
            token_ids = tokenizer.greedy_tokenize(data.decode())
        except UnicodeDecodeError:
            return None
        return token_ids if b"".join(self._tokens[i] for i in token_ids) == data else None

    def at_start(self, token_ids: Sequence[int]) -> list[int]:
        """Tokens that read at the start as others do elsewhere; none if it is not known."""
        data = b"".join(self._tokens[i] for i in token_ids)
        try:
            candidates = [list(self._encode(" " + data.decode())), list(token_ids)]
        except UnicodeDecodeError:
            candidates = [list(token_ids)]
        return next((ids for ids in candidates if ids and self._reads_as(ids, data)), [])

    @functools.cached_property
    def _by_start(self) -> dict[bytes, list[int]]:
        """The tokens that read in another way at the start, by what they read as there."""
        by_start: dict[bytes, list[int]] = {}
        for token_id in sorted(self._differ - self._special_ids):
            by_start.setdefault(self.starts[token_id], []).append(token_id)
        by_start.pop(b"", None)
        return by_start

    def reading_as_a_start_of(self, data: bytes) -> list[int]:
        """Tokens that read at the start as the first of some bytes, or as all of them."""
        ends = range(1, len(data) + 1)
        return [i for end in ends for i in self._by_start.get(data[:end], ())]

    def reading_beyond(self, data: bytes) -> list[int]:
        """Tokens that read at the start as some bytes and more."""
        longer = (s for s in self._by_start if len(s) > len(data) and s.startswith(data))
        return [i for start in longer for i in self._by_start[start]]

    def _reads_as(self, token_ids: Sequence[int], data: bytes) -> bool:
        """Check what tokens read as at the start, if that is certain."""
        first = token_ids[0]
        return (bool(self.starts[first]) or first in self.unread) and self.reads_as(
            token_ids
        ) == data

    def reads_as(self, token_ids: Sequence[int]) -> bytes:
        """The bytes of a text that consists of these tokens."""
        return self.starts[token_ids[0]] + b"".join(self._tokens[i] for i in token_ids[1:])


def _mask_of(matcher: "LLMatcher") -> int:
    """The tokens that may come next, bit i for token i. Leaves the matcher as it is.

    One that no token may follow is in an error state for ever.
    """
    copy = matcher.deep_copy()
    mask = copy.compute_bitmask()
    return 0 if copy.is_stopped() and not copy.is_accepting() else int.from_bytes(mask, "little")


def _bits(token_ids: Iterable[int]) -> int:
    """Bit i for token i."""
    bits = bytearray(1 + max(token_ids := list(token_ids), default=0) // 8)
    for token_id in token_ids:
        bits[token_id // 8] |= 1 << token_id % 8
    return int.from_bytes(bits, "little")


class StartMatcher:
    """A matcher of llguidance whose first token begins a text. It has the methods of an LLMatcher.

    Everything that tokens before it have done is undone by `rollback`, as there.
    """

    def __init__(
        self,
        matcher: "LLMatcher",
        first: "LLMatcher",
        tokenizer: "LLTokenizer",
        tokens: StartTokens,
    ) -> None:
        """Begin at the start of a text.

        Args:
            matcher: A fresh one, of tokens as they read behind others.
            first: A fresh one of the same grammar, of the tokens that read in another way at the
                start, as they read there.
            tokenizer: The tokens of `matcher`.
            tokens: What they read as at the start.
        """
        self._matcher = matcher
        self._first = first
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._num_tokens = 0
        self._is_stuck = False  # no token can be the first one
        self._num_spelled = 0  # tokens that the first one was matched as

    def compute_bitmask(self) -> bytes:
        """The tokens that may come next, as a packed bitmask."""
        if self._num_tokens:
            return self._matcher.compute_bitmask()
        behind = _mask_of(self._matcher)
        bits = (behind & ~self._tokens.differing) | self._differing_mask()
        if behind:
            bits |= self._tokens.unreadable
        self._is_stuck = not bits
        return bits.to_bytes(-(-max(self._tokenizer.vocab_size, bits.bit_length()) // 8), "little")

    def _differing_mask(self) -> int:
        """Which of the tokens that read in another way at the start may be the first one."""
        forced = self._matcher.deep_copy().compute_ff_bytes()
        if not forced:
            return _mask_of(self._first) & self._tokens.differing
        token_ids = self._tokens.reading_as_a_start_of(forced)
        for token_id in self._tokens.reading_beyond(forced):
            if self.validate_tokens([token_id]):
                token_ids.append(token_id)
        return _bits(token_ids)

    def compute_ff_tokens(self) -> list[int]:
        """The tokens that must come next."""
        forced = self._matcher.compute_ff_tokens()
        return forced if self._num_tokens or not forced else self._tokens.at_start(forced)

    def validate_tokens(self, token_ids: list[int]) -> int:
        """How many of these tokens may come next."""
        if self._num_tokens or not token_ids:
            return self._matcher.validate_tokens(token_ids)
        first = self._tokens.spelled(token_ids[0], self._tokenizer)
        if first is None:
            return 0
        count = self._matcher.validate_tokens([*first, *token_ids[1:]]) - len(first) + 1
        return max(count, 0)

    def consume_tokens(self, token_ids: list[int]) -> bool:
        """Go on by some tokens; return success."""
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
        """Undo the last tokens; return success."""
        if not num_tokens:
            return True
        self._num_tokens -= num_tokens
        if not self._num_tokens:
            num_tokens += self._num_spelled - 1
        return not num_tokens or self._matcher.rollback(num_tokens)

    def is_stopped(self) -> bool:
        """Check that nothing can follow, or that matching has failed."""
        return self._matcher.is_stopped() or (not self._num_tokens and self._is_stuck)

    def is_accepting(self) -> bool:
        """Check that the tokens so far are a whole answer."""
        return self._matcher.is_accepting()

    def is_error(self) -> bool:
        """Check that matching has failed."""
        return self._matcher.is_error()

    def get_error(self) -> str:
        """Why matching has failed; empty if it has not."""
        return self._matcher.get_error()

    def stop_reason(self) -> str:
        """Why nothing can follow."""
        return "NoExtensionBias" if self._is_stuck else self._matcher.stop_reason()

    def deep_copy(self) -> "StartMatcher":
        """An equal matcher that shares no state."""
        copy = StartMatcher(
            self._matcher.deep_copy(), self._first.deep_copy(), self._tokenizer, self._tokens
        )
        copy._num_tokens, copy._num_spelled = self._num_tokens, self._num_spelled
        return copy
