"""The tokens of a tokenizer in llguidance's form, converted once per tokenizer."""

import random
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from concordance_shared import ConstraintError

from concordance_sdk.constraints.byte_grammar import STUCK, error_of, limits
from concordance_sdk.constraints.schema.unique import TokenIndex
from concordance_sdk.constraints.start import StartMatcher, StartTokens
from concordance_sdk.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher

#: Maximum number of compiled grammars cached for a tokenizer.
_MAX_GRAMMARS = 256

#: Number of trials of a grammar, and their length in tokens.
_TRIALS = 4
_LONGEST_TRIAL = 8


class Vocabulary:
    """The tokens of one tokenizer, and the grammars compiled for them.

    Holds no strong reference to the tokenizer, so that both are freed together. Construction takes
    about 0.2 s for 49,000 tokens, and 0.6 s for 200,000.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Convert the tokens of a tokenizer.

        Raises:
            ConstraintError: Its tokens are not byte sequences, or it has no end-of-sequence token.
        """
        from llguidance import LLTokenizer, TokenizerWrapper  # noqa: PLC0415

        if not tokenizer.eos_token_ids:
            raise ConstraintError(
                "constraints need a tokenizer with an end-of-sequence token; this model's has none"
            )
        bridge = _Bridge(tokenizer, _all_bytes(tokenizer))
        self.size = tokenizer.vocab_size
        self._bytes = bridge.tokens
        self.eos_ids = frozenset(tokenizer.eos_token_ids)
        self.eos_mask = _mask(self.eos_ids, self.size)
        self._last_end = len(self.eos_mask.rstrip(b"\0"))
        self._tokens = LLTokenizer(TokenizerWrapper(bridge), eos_token=sorted(self.eos_ids))
        self.token_index = TokenIndex(bridge.tokens)
        bridge.greedy = self._tokens.greedy_tokenize
        #: Least recently used first.
        self._prototypes: OrderedDict[tuple[str, bool], LLMatcher] = OrderedDict()
        #: How each grammar failed in its trials; least recently used first.
        self._failures: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()
        self._starts = _start_tokens(tokenizer, bridge)
        self._first_tokens = self._tokens
        if self._starts:
            first = _Bridge(tokenizer, self._starts.first)
            self._first_tokens = LLTokenizer(
                TokenizerWrapper(first), eos_token=sorted(self.eos_ids)
            )
            first.greedy = self._first_tokens.greedy_tokenize

    def only_ends(self, mask: bytes) -> bool:
        """True if a mask allows only end-of-sequence tokens."""
        ends = self._last_end
        return mask[:ends] == self.eos_mask[:ends] and not mask[ends:].strip(b"\0")

    def matcher(self, grammar: str, *, at_start: bool = False) -> "LLMatcher":
        """Return a new matcher of a grammar; it may be in an error state.

        Args:
            grammar: The grammar.
            at_start: True if its first token is at the start of a text.
        """
        matcher = self._prototype(grammar).deep_copy()
        if not (at_start and self._starts):
            return matcher
        return self._at_start(matcher, self._prototype(grammar, is_first=True).deep_copy())

    def text_of(self, token_ids: Sequence[int], *, at_start: bool = False) -> str:
        """Decode tokens.

        Args:
            token_ids: The tokens.
            at_start: True if they are at the start of a text.
        """
        if at_start and self._starts and token_ids:
            return self._starts.decoded(token_ids).decode("utf-8", "replace")
        return b"".join(self._bytes[i] for i in token_ids).decode("utf-8", "replace")

    def renew(self, grammar: str, *, at_start: bool = False) -> "LLMatcher":
        """Compile a grammar again, for a matcher that shares no state with one that failed.

        Copies of a matcher share the state of its lexer, including its failures.
        """
        with self._lock:
            self._prototypes.pop((grammar, False), None)
            self._prototypes.pop((grammar, True), None)
        matcher = self._compile(grammar)
        if not (at_start and self._starts):
            return matcher
        return self._at_start(matcher, self._compile(grammar, is_first=True))

    def error_of(self, grammar: str) -> str:
        """Return why a grammar cannot be used with these tokens; empty if it can."""
        error = error_of(self._prototype(grammar))
        if not error and self._starts:
            self._prototype(grammar, is_first=True)  # so that no request compiles it later
        return error or self._failure_of(grammar)

    def _failure_of(self, grammar: str) -> str:
        """Return how a grammar fails in trials with these tokens, cached; empty if it does not.

        A mask explores all tokens and so needs a larger automaton than the bytes of one text do.
        """
        with self._lock:
            known = self._failures.pop(grammar, None)
        found = self._tried(grammar) if known is None else known
        with self._lock:
            self._failures[grammar] = found
            if len(self._failures) > _MAX_GRAMMARS:
                self._failures.popitem(last=False)
        return found

    def _tried(self, grammar: str) -> str:
        fresh = self._compile(grammar)  # so that no prototype shares its failures
        chance = random.Random(0)  # noqa: S311  # not for cryptography
        for _ in range(_TRIALS):
            matcher = fresh.deep_copy()
            for _ in range(_LONGEST_TRIAL):
                mask = int.from_bytes(matcher.compute_bitmask(), "little")
                if matcher.is_stopped() or not mask:
                    break
                matcher.consume_token(_some_bit(mask, chance))
            if matcher.is_error() and error_of(matcher) != STUCK:
                return error_of(matcher)
        return ""

    def _at_start(self, matcher: "LLMatcher", first: "LLMatcher") -> "LLMatcher":
        """Combine two matchers into one whose first token is at the start of a text."""
        assert self._starts is not None
        return cast("LLMatcher", StartMatcher(matcher, first, self._tokens, self._starts))

    def _prototype(self, grammar: str, *, is_first: bool = False) -> "LLMatcher":
        """Return the cached matcher that others are copies of.

        Compilation does not hold the lock, so two threads may compile the same grammar.

        Args:
            grammar: The grammar.
            is_first: Match the bytes that tokens have at the start of a text.
        """
        key = (grammar, is_first)
        with self._lock:
            known = self._prototypes.pop(key, None)
        found = known or self._compile(grammar, is_first=is_first)
        with self._lock:
            self._prototypes[key] = found
            if len(self._prototypes) > _MAX_GRAMMARS:
                self._prototypes.popitem(last=False)
        return found

    def _compile(self, grammar: str, *, is_first: bool = False) -> "LLMatcher":
        from llguidance import LLMatcher  # noqa: PLC0415

        tokens = self._first_tokens if is_first else self._tokens
        return LLMatcher(tokens, grammar, log_level=0, limits=limits())


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """Return the converted tokens of a tokenizer, cached.

    Raises:
        ConstraintError: Its tokens are not byte sequences, or it has no end-of-sequence token.
    """
    with _lock:
        vocabulary = _vocabularies.get(tokenizer)
        if vocabulary is None:
            vocabulary = _vocabularies[tokenizer] = Vocabulary(tokenizer)
        return vocabulary


_lock = threading.Lock()
_vocabularies: "weakref.WeakKeyDictionary[Tokenizer, Vocabulary]" = weakref.WeakKeyDictionary()


class _Bridge:
    """The tokenizer interface that llguidance needs; tokenizes the text that a grammar forces."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, tokens: list[bytes]) -> None:
        self.eos_token_id = min(tokenizer.eos_token_ids)
        self.special_token_ids = sorted(tokenizer.special_token_ids)
        self.tokens = tokens
        self._is_special = frozenset(tokenizer.special_token_ids)
        self._tokenizer = weakref.ref(tokenizer)

    def encode(self, text: str) -> list[int]:
        """Encode a text that follows other tokens."""
        tokenizer = self._tokenizer()
        return tokenizer.encode(text) if tokenizer else []

    def __call__(self, text: str) -> list[int]:
        if not isinstance(text, str):  # type: ignore[redundant-expr]  # llguidance tries bytes first
            raise TypeError("expected str, not bytes")
        token_ids = self.encode(text)
        return token_ids if self._spells(token_ids, text) else self.greedy(text)

    def _spells(self, token_ids: list[int], text: str) -> bool:
        """True if tokens are exactly a text: none is special, nothing is added or dropped."""
        if not self._is_special.isdisjoint(token_ids):
            return False
        return b"".join(self.tokens[token_id] for token_id in token_ids) == text.encode()

    def greedy(self, text: str) -> list[int]:
        """Tokenize a text greedily; assigned once the tokens are known."""
        raise NotImplementedError


def _all_bytes(tokenizer: Tokenizer) -> list[bytes]:
    try:
        return [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)]
    except ValueError as exc:
        raise ConstraintError(
            f"constraints cannot be enforced with this model's tokenizer: {exc}"
        ) from exc


def _start_tokens(tokenizer: Tokenizer, bridge: _Bridge) -> StartTokens | None:
    """Return the bytes of tokens at the start of a text; `None` if they never differ."""
    start_bytes: Callable[[int], bytes] | None = getattr(tokenizer, "start_bytes", None)
    if start_bytes is None:
        return None
    special = frozenset(tokenizer.special_token_ids)
    starts = [
        data if token_id in special else start_bytes(token_id)
        for token_id, data in enumerate(bridge.tokens)
    ]
    if starts == bridge.tokens:
        return None
    return StartTokens(bridge.tokens, starts, special, bridge.encode, tokenizer.decode)


def _some_bit(bits: int, chance: random.Random) -> int:
    """Return the index of a set bit: the first one from a random index on."""
    begin = chance.randrange(bits.bit_length())
    rest = (bits >> begin) << begin
    return (rest & -rest).bit_length() - 1


def _mask(token_ids: frozenset[int], size: int) -> bytes:
    """Return a packed bitmask of tokens.  bit `i % 8` of byte `i // 8`"""
    mask = bytearray(-(-size // 8))
    for token_id in token_ids:
        mask[token_id // 8] |= 1 << token_id % 8
    return bytes(mask)
