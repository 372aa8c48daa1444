"""The tokens of a tokenizer as llguidance sees them, once for each tokenizer."""

import random
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from concordance_shared import ConstraintError

from concordance_sdk.constraints.byte_grammar import STUCK, error_of, limits
from concordance_sdk.constraints.schema.unique import Closers
from concordance_sdk.constraints.start import StartMatcher, StartTokens
from concordance_sdk.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher

#: How many grammars are kept compiled for a tokenizer.
_MAX_GRAMMARS = 256

#: How often a grammar is tried, and with how many tokens.
_TRIALS = 4
_LONGEST_TRIAL = 8


class Vocabulary:
    """The tokens of one tokenizer, and the grammars compiled for them.

    Holds no reference to the tokenizer: it goes when the tokenizer goes. Making one takes about
    0.2 s for 49,000 tokens, and 0.6 s for 200,000.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Take over the tokens of a tokenizer.

        Raises:
            ConstraintError: Its tokens are not made of bytes, or none ends a completion.
        """
        from llguidance import LLTokenizer, TokenizerWrapper  # noqa: PLC0415

        if not tokenizer.eos_token_ids:
            raise ConstraintError(
                "constraints need a tokenizer with a token that ends a completion; this model's "
                "has none"
            )
        bridge = _Bridge(tokenizer, _all_bytes(tokenizer))
        self.size = tokenizer.vocab_size
        self._bytes = bridge.tokens
        self.eos_ids = frozenset(tokenizer.eos_token_ids)
        self.eos_mask = _mask(self.eos_ids, self.size)
        self._last_end = len(self.eos_mask.rstrip(b"\0"))
        self._tokens = LLTokenizer(TokenizerWrapper(bridge), eos_token=sorted(self.eos_ids))
        self.closers = Closers(bridge.tokens)
        bridge.greedy = self._tokens.greedy_tokenize
        #: Least recently used first.
        self._prototypes: OrderedDict[tuple[str, bool], LLMatcher] = OrderedDict()
        #: How each grammar failed in a trial; least recently used first.
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
        """Whether a mask allows nothing but to end the completion."""
        ends = self._last_end
        return mask[:ends] == self.eos_mask[:ends] and not mask[ends:].strip(b"\0")

    def matcher(self, grammar: str, *, at_start: bool = False) -> "LLMatcher":
        """A new matcher of a grammar, which may be in an error state.

        Args:
            grammar: The grammar.
            at_start: Its first token is the first one of a text.
        """
        matcher = self._prototype(grammar).deep_copy()
        if not (at_start and self._starts):
            return matcher
        return self._at_start(matcher, self._prototype(grammar, is_first=True).deep_copy())

    def text_of(self, token_ids: Sequence[int], *, at_start: bool = False) -> str:
        """What tokens add to a text.

        Args:
            token_ids: The tokens.
            at_start: The first one is the first one of a text.
        """
        if at_start and self._starts and token_ids:
            return self._starts.reads_as(token_ids).decode("utf-8", "replace")
        return b"".join(self._bytes[i] for i in token_ids).decode("utf-8", "replace")

    def renew(self, grammar: str, *, at_start: bool = False) -> "LLMatcher":
        """A matcher that shares nothing with those before it, which failed.

        Copies of one matcher share what its lexer has found out, and with it its failures.
        """
        with self._lock:
            self._prototypes.pop((grammar, False), None)
            self._prototypes.pop((grammar, True), None)
        matcher = self._compile(grammar)
        if not (at_start and self._starts):
            return matcher
        return self._at_start(matcher, self._compile(grammar, is_first=True))

    def error_of(self, grammar: str) -> str:
        """Why a grammar cannot be used with these tokens; empty if it can."""
        error = error_of(self._prototype(grammar))
        if not error and self._starts:
            self._prototype(grammar, is_first=True)  # so that no request compiles it later
        return error or self._failure_of(grammar)

    def _failure_of(self, grammar: str) -> str:
        """How a grammar fails in a trial with these tokens; empty if it does not.

        A mask looks at all tokens, and so asks more of an automaton than the bytes of one text do.
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
        fresh = self._compile(grammar)  # shares its failure with no other
        chance = random.Random(0)  # noqa: S311  # nobody is to be kept from guessing it
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
        """A matcher whose first token is the first one of a text."""
        assert self._starts is not None
        return cast("LLMatcher", StartMatcher(matcher, first, self._tokens, self._starts))

    def _prototype(self, grammar: str, *, is_first: bool = False) -> "LLMatcher":
        """The matcher that others are copies of. Two threads may compile the same one at once.

        Args:
            grammar: The grammar.
            is_first: It matches tokens as they read at the start of a text.
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
    """The tokens of a tokenizer, as they were taken over first.

    Raises:
        ConstraintError: Its tokens are not made of bytes, or none ends a completion.
    """
    with _lock:
        vocabulary = _vocabularies.get(tokenizer)
        if vocabulary is None:
            vocabulary = _vocabularies[tokenizer] = Vocabulary(tokenizer)
        return vocabulary


_lock = threading.Lock()
_vocabularies: "weakref.WeakKeyDictionary[Tokenizer, Vocabulary]" = weakref.WeakKeyDictionary()


class _Bridge:
    """What llguidance asks of a tokenizer, and calls to split text that a grammar forces."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, tokens: list[bytes]) -> None:
        self.eos_token_id = min(tokenizer.eos_token_ids)
        self.special_token_ids = sorted(tokenizer.special_token_ids)
        self.tokens = tokens
        self._is_special = frozenset(tokenizer.special_token_ids)
        self._tokenizer = weakref.ref(tokenizer)

    def encode(self, text: str) -> list[int]:
        """Token ids that add a text behind other tokens."""
        tokenizer = self._tokenizer()
        return tokenizer.encode(text) if tokenizer else []

    def __call__(self, text: str) -> list[int]:
        if not isinstance(text, str):  # type: ignore[redundant-expr]  # llguidance tries bytes first
            raise TypeError("text is split, not bytes")
        token_ids = self.encode(text)
        return token_ids if self._spells(token_ids, text) else self.greedy(text)

    def _spells(self, token_ids: list[int], text: str) -> bool:
        """Whether tokens are exactly a text: none of them special, nothing added or left out."""
        if not self._is_special.isdisjoint(token_ids):
            return False
        return b"".join(self.tokens[token_id] for token_id in token_ids) == text.encode()

    def greedy(self, text: str) -> list[int]:
        """Any tokens that spell a text; set when the tokens are known."""
        raise NotImplementedError


def _all_bytes(tokenizer: Tokenizer) -> list[bytes]:
    try:
        return [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)]
    except ValueError as exc:
        raise ConstraintError(
            f"constraints cannot be enforced with this model's tokenizer: {exc}"
        ) from exc


def _start_tokens(tokenizer: Tokenizer, bridge: _Bridge) -> StartTokens | None:
    """What tokens read as at the start of a text; `None` if that is what they read as elsewhere."""
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
    """The place of a bit that is set: the first from a random one on."""
    begin = chance.randrange(bits.bit_length())
    rest = (bits >> begin) << begin
    return (rest & -rest).bit_length() - 1


def _mask(token_ids: frozenset[int], size: int) -> bytes:
    """A packed bitmask of tokens.  bit `i % 8` of byte `i // 8`"""
    mask = bytearray(-(-size // 8))
    for token_id in token_ids:
        mask[token_id // 8] |= 1 << token_id % 8
    return bytes(mask)
