"""Checks of a grammar that need no tokenizer: its texts are matched byte by byte."""

import functools
import itertools
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer


#: Maximum number of items in a row of llguidance's parser; an object with n optional keys needs
#: about 2 n.
_MAX_ITEMS = 8000

#: Size of each cache of results, in grammars.
_CACHE_SIZE = 512

#: The fault of a grammar that matches no text.
NO_TEXT = "no text at all satisfies it"

#: The reason llguidance gives for a state in which no token is allowed.
STUCK = "NoExtensionBias"

#: Random texts that a grammar is tried with: their number, their maximum length in bytes, and the
#: probability that a byte which does not end a JSON string is chosen where possible.
_TRIALS = 3
_LONGEST_TRIAL = 80
_STAY = 0.9

#: Random walks that collect sample texts of a grammar, and their maximum length in bytes.
_WALKS = 8
_LONGEST_WALK = 48


def matcher_of(grammar: str) -> "LLMatcher":
    """Return a matcher whose tokens are the 256 bytes. It may be in an error state."""
    from llguidance import LLMatcher  # noqa: PLC0415  # imported only where constraints are used

    return LLMatcher(_bytes_only(), grammar, log_level=0, limits=limits())


def error_of(matcher: "LLMatcher") -> str:
    """Return llguidance's error for a grammar; empty if there is none."""
    error = matcher.get_error().partition("<non-verbose/>")[0].strip()
    return error or ("it is in an error state" if matcher.is_error() else "")


@functools.lru_cache(_CACHE_SIZE)
def fault_of(grammar: str) -> str:
    """Return why a grammar cannot be used: an error, or that no text matches; empty if it can."""
    matcher = matcher_of(grammar)
    if error := error_of(matcher):
        return error
    if _has_texts(matcher):
        return ""
    error = error_of(matcher)
    return NO_TEXT if error in ("", STUCK) else error


@functools.lru_cache(_CACHE_SIZE)
def failure_of(grammar: str) -> str:
    """Return how a grammar fails while random texts are written; empty if it does not.

    A grammar can compile and yet need too large an automaton, or reach a dead end.
    """
    chance = random.Random(0)  # noqa: S311  # not for cryptography
    for _ in range(_TRIALS):
        matcher = matcher_of(grammar)
        for _ in range(_LONGEST_TRIAL):
            allowed = _allowed(matcher)
            if not allowed or matcher.is_stopped():
                break
            matcher.consume_token(_picked(allowed, chance))
        if error := error_of(matcher):
            return error
        if matcher.is_stopped() and not matcher.is_accepting():
            return "it runs into a dead end"
    return ""


def _picked(allowed: list[int], chance: random.Random) -> int:
    """Choose a byte: usually one that stays inside a JSON string, so that texts become long."""
    inner = [byte for byte in allowed if byte not in b'"\\' and byte < 0x80]
    return chance.choice(inner if inner and chance.random() < _STAY else allowed)


def is_text_of(grammar: str, text: str) -> bool:
    """True if the grammar is usable and matches the whole text."""
    try:
        data = text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no completion can contain
        return False
    return not fault_of(grammar) and _takes(matcher_of(grammar), data)


def _takes(matcher: "LLMatcher", data: bytes) -> bool:
    """True if the bytes are allowed next and complete a text."""
    return matcher.try_consume_tokens(list(data)) == len(data) and matcher.is_accepting()


@functools.lru_cache(_CACHE_SIZE)
def can_continue(terminal: str, definitions: str) -> bool:
    """True if a text of a terminal is a proper prefix of another of its texts.

    Args:
        terminal: A terminal expression.
        definitions: A Lark grammar that defines the names used in it.
    """
    rest = definitions.partition("\n")[2]
    longer = f"start: LONGER\nLONGER: ({terminal}) & (({terminal}) /(?s:.)+/)\n{rest}"
    return _has_texts(matcher_of(longer))


@functools.lru_cache(_CACHE_SIZE)
def first_bytes(grammar: str) -> frozenset[int]:
    """Return the bytes that a text of a grammar can begin with."""
    return frozenset(_allowed(matcher_of(grammar)))


def _allowed(matcher: "LLMatcher") -> list[int]:
    """Return the bytes allowed next."""
    mask = matcher.compute_bitmask()
    return [byte for byte in range(256) if mask[byte // 8] >> byte % 8 & 1]


@functools.lru_cache(_CACHE_SIZE)
def unjoinable(left: str, right: str, both: str) -> tuple[bytes, bytes] | None:
    """Find a text of each of two grammars whose concatenation the joined grammar rejects.

    Tries samples of each, so a `None` is no proof.

    Args:
        left: The first grammar.
        right: The second grammar.
        both: The grammar of a text of the first, followed by one of the second.
    """
    matcher = matcher_of(both)
    if error_of(matcher):
        return None
    for pair in itertools.product(_sample_texts(left), _sample_texts(right)):
        if not _takes(matcher.deep_copy(), b"".join(pair)):
            return pair
    return None


def _sample_texts(grammar: str) -> list[bytes]:
    """Return random texts of a grammar, shortest first; deterministic."""
    start = matcher_of(grammar)
    if error_of(start):
        return []
    chance = random.Random(0)  # noqa: S311  # not for cryptography
    found: set[bytes] = set()
    for _ in range(_WALKS):
        texts = list(_texts_on_the_way(start.deep_copy(), chance))
        found.update(texts[:1] + texts[-1:])
    return sorted(found, key=lambda text: (len(text), text))


def _texts_on_the_way(matcher: "LLMatcher", chance: random.Random) -> Iterator[bytes]:
    """Yield every complete text on a random walk."""
    text = bytearray()
    while len(text) < _LONGEST_WALK:
        if matcher.is_accepting():
            yield bytes(text)
        allowed = _allowed(matcher)
        if not allowed or matcher.is_stopped():
            return
        text.append(chance.choice(allowed))
        matcher.consume_token(text[-1])


def _has_texts(matcher: "LLMatcher") -> bool:
    """True if a fresh matcher can match anything."""
    matcher.compute_bitmask()
    return not matcher.is_stopped() or matcher.is_accepting()


@functools.cache
def limits() -> "LLParserLimits":
    """Return llguidance's limits, with errors that do not print the whole grammar."""
    from llguidance import LLParserLimits  # noqa: PLC0415

    return LLParserLimits(verbose_errors=False, max_items_in_row=_MAX_ITEMS)


@functools.cache
def _bytes_only() -> "LLTokenizer":
    from llguidance import LLTokenizer  # noqa: PLC0415

    return LLTokenizer("byte")
