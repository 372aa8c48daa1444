"""What can be said of a grammar without any tokenizer: its texts, byte by byte."""

import functools
import itertools
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer


#: How many items a row of the parser has: an object with n optional keys needs about 2 n.
_MAX_ITEMS = 8000

#: For how many grammars it is remembered what was found out.
_REMEMBERED = 512

#: The fault of a grammar that has no text.
NO_TEXT = "no text at all satisfies it"

#: What llguidance says where no token can come.
STUCK = "NoExtensionBias"

#: How often a grammar is tried, with how many bytes, and how likely a text goes on.
_TRIALS = 3
_LONGEST_TRIAL = 80
_STAY = 0.9

#: How often texts of a grammar are looked for, and how long they are.
_WALKS = 8
_LONGEST_WALK = 48


def matcher_of(grammar: str) -> "LLMatcher":
    """A matcher whose tokens are the bytes, by their value. It may be in an error state."""
    from llguidance import LLMatcher  # noqa: PLC0415  # who constrains nothing does not pay for it

    return LLMatcher(_bytes_only(), grammar, log_level=0, limits=limits())


def error_of(matcher: "LLMatcher") -> str:
    """What is wrong with a grammar, in llguidance's words; empty if nothing is."""
    error = matcher.get_error().partition("<non-verbose/>")[0].strip()
    return error or ("it is in an error state" if matcher.is_error() else "")


@functools.lru_cache(_REMEMBERED)
def fault_of(grammar: str) -> str:
    """Why a grammar cannot be used: an error, or that it has no text; empty if it can."""
    matcher = matcher_of(grammar)
    if error := error_of(matcher):
        return error
    if _has_texts(matcher):
        return ""
    error = error_of(matcher)
    return NO_TEXT if error in ("", STUCK) else error


@functools.lru_cache(_REMEMBERED)
def failure_of(grammar: str) -> str:
    """How a grammar fails while a text is written; empty if it does not in a few trials.

    A grammar may compile and yet need too large an automaton, or run into a dead end.
    """
    chance = random.Random(0)  # noqa: S311  # nobody is to be kept from guessing it
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
    """One of some bytes: a text is not ended at once, and what opens is closed at last."""
    inner = [byte for byte in allowed if byte not in b'"\\' and byte < 0x80]
    return chance.choice(inner if inner and chance.random() < _STAY else allowed)


def is_text_of(grammar: str, text: str) -> bool:
    """Whether a text satisfies a grammar; not, if the grammar cannot be used."""
    try:
        data = text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no answer can have
        return False
    return not fault_of(grammar) and _takes(matcher_of(grammar), data)


def _takes(matcher: "LLMatcher", data: bytes) -> bool:
    """Whether bytes may come next, all of them, and end a text."""
    return matcher.try_consume_tokens(list(data)) == len(data) and matcher.is_accepting()


@functools.lru_cache(_REMEMBERED)
def can_go_on(terminal: str, definitions: str) -> bool:
    """Whether a text of a terminal is the beginning of another of its texts.

    Args:
        terminal: An expression of terminals.
        definitions: A Lark grammar that defines the names in it.
    """
    rest = definitions.partition("\n")[2]
    longer = f"start: LONGER\nLONGER: ({terminal}) & (({terminal}) /(?s:.)+/)\n{rest}"
    return _has_texts(matcher_of(longer))


@functools.lru_cache(_REMEMBERED)
def first_bytes(grammar: str) -> frozenset[int]:
    """The bytes with which the texts of a grammar begin."""
    return frozenset(_allowed(matcher_of(grammar)))


def _allowed(matcher: "LLMatcher") -> list[int]:
    """The bytes that may come next."""
    mask = matcher.compute_bitmask()
    return [byte for byte in range(256) if mask[byte // 8] >> byte % 8 & 1]


@functools.lru_cache(_REMEMBERED)
def unjoinable(before: str, behind: str, both: str) -> tuple[bytes, bytes] | None:
    """A text of one grammar and one of another that may not stand side by side, if one is found.

    Some of each are tried: there is no telling of all.

    Args:
        before: The one grammar.
        behind: The other.
        both: The one and then the other.
    """
    matcher = matcher_of(both)
    if error_of(matcher):
        return None
    for pair in itertools.product(_some_texts(before), _some_texts(behind)):
        if not _takes(matcher.deep_copy(), b"".join(pair)):
            return pair
    return None


def _some_texts(grammar: str) -> list[bytes]:
    """Texts of a grammar, the shorter ones first, made at random, but always the same."""
    start = matcher_of(grammar)
    if error_of(start):
        return []
    chance = random.Random(0)  # noqa: S311  # nobody is to be kept from guessing it
    found: set[bytes] = set()
    for _ in range(_WALKS):
        texts = list(_texts_on_the_way(start.deep_copy(), chance))
        found.update(texts[:1] + texts[-1:])
    return sorted(found, key=lambda text: (len(text), text))


def _texts_on_the_way(matcher: "LLMatcher", chance: random.Random) -> Iterator[bytes]:
    """The texts that a matcher comes by when it goes on at random."""
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
    """Whether a fresh matcher has anything to match."""
    matcher.compute_bitmask()
    return not matcher.is_stopped() or matcher.is_accepting()


@functools.cache
def limits() -> "LLParserLimits":
    """Limits of llguidance's own, with errors that do not print the whole grammar."""
    from llguidance import LLParserLimits  # noqa: PLC0415

    return LLParserLimits(verbose_errors=False, max_items_in_row=_MAX_ITEMS)


@functools.cache
def _bytes_only() -> "LLTokenizer":
    from llguidance import LLTokenizer  # noqa: PLC0415

    return LLTokenizer("byte")
