r"""Compiles patterns to terminal expressions over the JSON encoding of a string.

A pattern is compiled from its end: each node is given the expression of what follows it, up to the
end of the string. So `$` requires that nothing follows, and a lookahead intersects its own
expression with what follows. `a(?=b)[bc]$`, for example, becomes `a` and then `b.*` & `[bc]`.
"""

import functools
from itertools import chain
from typing import NoReturn

from concordance_shared import ConstraintError
from msgspec import Struct

from concordance_sdk.constraints.schema.characters import ANY_CHARACTER, is_exact, spelled
from concordance_sdk.constraints.schema.ecma import (
    LAST,
    Alternatives,
    Anchor,
    Characters,
    Escape,
    LookAhead,
    Node,
    Repeat,
    Sequence,
    parse,
)

#: What precedes a position: nothing; a word character; another character; either; or unknown,
#: which may be nothing.
_START, _WORD, _OTHER, _SOME, _UNKNOWN = "start", "word", "other", "some", "unknown"

_WORD_CHARACTER = Characters(escapes=(Escape("w"),))
_NO_WORD_CHARACTER = Characters(escapes=(Escape("w", is_negated=True),))

#: Maximum count to which a repetition with assertions in it is unrolled.
_MAX_UNROLLED = 8

#: Maximum length of an expression, in characters.
_MAX_EXPRESSION = 50_000


class Tail(Struct, frozen=True):
    """The expression of what can follow, up to the end of a string.

    Raises:
        ConstraintError: It is too large.
    """

    expression: str  # of terminals; can be used in a sequence without parentheses
    is_nullable: bool  # True if the empty string matches

    def __post_init__(self) -> None:
        """Check the size."""
        if len(self.expression) > _MAX_EXPRESSION:
            raise ConstraintError("it is too large when it is expanded; shorten it")


_EMPTY = Tail('""', is_nullable=True)
_ANYTHING = Tail(f"/{ANY_CHARACTER}*/", is_nullable=True)


class Pattern(Struct, frozen=True):
    """The strings in which a pattern matches."""

    expression: str | None  # of terminals, without quotes; `None` if there are none
    is_exact: bool  # True if all validators agree on them


@functools.lru_cache(2048)
def compile_pattern(pattern: str, *, wide: bool = False) -> Pattern:
    r"""Compile a pattern to the strings in which it matches, JSON-encoded, without quotes.

    Args:
        pattern: An ECMA-262 pattern. It can match anywhere, unless anchored.
        wide: Use the union of the interpretations of all validators, not their intersection.

    Raises:
        ConstraintError: It is not a pattern, or a regular grammar cannot express it.

    Examples:
        >>> compile_pattern("^[a-c]+$").expression
        '/[a-c]+/ ""'
    """
    node = parse(pattern)
    compiler = _Compiler(wide=wide)
    found = [compiler.compile(node, _ANYTHING, _START)]
    if not _is_anchored(node):
        found += _found_later(compiler, node)
    tails = [tail for tail in found if tail is not None]
    expression = " | ".join(f"({tail.expression})" for tail in tails) if tails else None
    if len(tails) == 1:
        expression = tails[0].expression
    return Pattern(expression, compiler.is_exact)


def _found_later(compiler: "_Compiler", node: Node) -> list[Tail | None]:
    """Return the strings in which a pattern matches after the first position."""
    befores = {_SOME: f"/{ANY_CHARACTER}+/"}
    if _has_boundaries(node):
        befores = {
            context: f"/{ANY_CHARACTER}*{spelled(character, wide=compiler.wide)}/"
            for context, character in ((_WORD, _WORD_CHARACTER), (_OTHER, _NO_WORD_CHARACTER))
        }
        compiler.is_exact = False
    found: list[Tail | None] = []
    for context, before in befores.items():
        tail = compiler.compile(node, _ANYTHING, context)
        found.append(tail and Tail(f"{before} ({tail.expression})", is_nullable=False))
    return found


def _is_anchored(node: Node) -> bool:
    """True if a pattern can match only at the first position."""
    match node:
        case Anchor("^"):
            return True
        case Sequence(nodes):
            return any(map(_is_anchored, nodes))
        case Alternatives(nodes):
            return all(map(_is_anchored, nodes))
        case _:
            return False


def _has_boundaries(node: Node) -> bool:
    match node:
        case Anchor(kind):
            return kind in "bB"
        case Sequence(nodes) | Alternatives(nodes):
            return any(map(_has_boundaries, nodes))
        case Repeat(inner) | LookAhead(inner):
            return _has_boundaries(inner)
        case _:
            return False


def _is_plain(node: Node) -> bool:
    """True if a node contains characters only, no assertions."""
    match node:
        case Anchor() | LookAhead():
            return False
        case Sequence(nodes) | Alternatives(nodes):
            return all(map(_is_plain, nodes))
        case Repeat(inner):
            return _is_plain(inner)
        case _:
            return True


def _least(node: Node) -> int:
    """Return the minimum length of a match, in characters."""
    match node:
        case Characters():
            return 1
        case Sequence(nodes):
            return sum(map(_least, nodes))
        case Alternatives(nodes):
            return min(map(_least, nodes))
        case Repeat(inner, least):
            return _least(inner) * least
        case _:
            return 0


def _last_characters(node: Node) -> list[Characters] | None:
    """Return the sets of characters that a match can end with; `None` if unknown or empty."""
    match node:
        case Characters():
            return [node]
        case Repeat(inner, least) if least:
            return _last_characters(inner)
        case Alternatives(nodes):
            every = [_last_characters(inner) for inner in nodes]
            known = [last for last in every if last is not None]
            return list(chain.from_iterable(known)) if len(known) == len(every) else None
        case Sequence(nodes) if nodes:
            return _last_characters(nodes[-1])
        case _:
            return None


class _Compiler:
    """Compiles the nodes of one pattern."""

    def __init__(self, *, wide: bool) -> None:
        self.wide = wide
        self.is_exact = True

    def compile(self, node: Node, tail: Tail, before: str) -> Tail | None:  # noqa: PLR0911
        """Compile a node and what follows it; `None` if nothing matches."""
        if _is_plain(node):
            return self._plain(node, tail)
        match node:
            case Sequence(nodes):
                return self._sequence(nodes, tail, before)
            case Alternatives(nodes):
                return _either([self.compile(inner, tail, before) for inner in nodes])
            case Repeat():
                return self._repeat(node, tail, before)
            case Anchor("^"):
                return self._start(tail, before)
            case Anchor("$"):
                return self._end(tail)
            case Anchor(kind):
                return self._boundary(kind, tail, before)
            case LookAhead():
                return self._look(node, tail, before)
            case _:
                raise AssertionError("characters are plain")

    def _plain(self, node: Node, tail: Tail) -> Tail | None:
        expression = self._regex(node)
        if expression is None:
            return None
        if not expression:
            return tail
        is_nullable = tail.is_nullable and not _least(node)
        return Tail(f"/{expression}/ {_atom(tail.expression)}", is_nullable)

    def _sequence(self, nodes: tuple[Node, ...], tail: Tail, before: str) -> Tail | None:
        contexts = [before]
        for node in nodes[:-1]:
            contexts.append(self._context_after(node, contexts[-1]))
        found: Tail | None = tail
        for node, context in zip(reversed(nodes), reversed(contexts), strict=True):
            if found is None:
                return None
            found = self.compile(node, found, context)
        return found

    def _context_after(self, node: Node, before: str) -> str:
        if isinstance(node, Anchor | LookAhead):
            return before
        if not _least(node):
            return _UNKNOWN if before in (_START, _UNKNOWN) else _SOME
        kinds = {_kind_of(characters) for characters in _last_characters(node) or ()}
        return kinds.pop() if len(kinds) == 1 else _SOME

    def _start(self, tail: Tail, before: str) -> Tail | None:
        if before == _UNKNOWN:
            self._refuse("'^' after what may be empty")
        return tail if before == _START else None

    def _end(self, tail: Tail) -> Tail | None:
        if not tail.is_nullable:
            return None
        # In Python, `$` also matches before a final line break.
        return Tail('("" | "\\\\n")', is_nullable=True) if self.wide else _EMPTY

    def _boundary(self, kind: str, tail: Tail, before: str) -> Tail | None:
        if before in (_SOME, _UNKNOWN):
            self._refuse(f"'\\{kind}' after what may end with any character")
        self.is_exact = False
        is_after_word = before == _WORD
        needs_word = is_after_word == (kind == "B")
        character = _WORD_CHARACTER if needs_word else _NO_WORD_CHARACTER
        first = f"/{spelled(character, wide=self.wide)}{ANY_CHARACTER}*/"
        if needs_word:
            return Tail(f"(({tail.expression}) & {first})", is_nullable=False)
        return Tail(f'(({tail.expression}) & ({first} | ""))', tail.is_nullable)

    def _look(self, node: LookAhead, tail: Tail, before: str) -> Tail | None:
        inner = _Compiler(wide=self.wide != node.is_negated)
        ahead = inner.compile(node.node, _ANYTHING, before)
        self.is_exact &= inner.is_exact
        if not node.is_negated:
            if ahead is None:
                return None
            is_nullable = tail.is_nullable and ahead.is_nullable
            return Tail(f"(({tail.expression}) & ({ahead.expression}))", is_nullable)
        if ahead is None:
            return tail
        is_nullable = tail.is_nullable and not ahead.is_nullable
        return Tail(f"(({tail.expression}) & ~({ahead.expression}))", is_nullable)

    def _repeat(self, node: Repeat, tail: Tail, before: str) -> Tail | None:
        """Unroll a repetition that contains assertions."""
        if node.most is None or node.most > _MAX_UNROLLED:
            self._refuse("an assertion, such as '^', '$', '\\b' or '(?=', in a repetition")
        counts = range(node.least, node.most + 1)
        return _either(
            [
                self._sequence((node.node,) * count, tail, before) if count else tail
                for count in counts
            ]
        )

    def _regex(self, node: Node) -> str | None:
        """Return a node without assertions as a regular expression; `None` if nothing matches."""
        match node:
            case Characters():
                self.is_exact &= is_exact(node)
                return spelled(node, wide=self.wide) or None
            case Sequence(nodes):
                parts = [self._regex(inner) for inner in nodes]
                known = [part for part in parts if part is not None]
                return "".join(known) if len(known) == len(parts) else None
            case Alternatives(nodes):
                known = [part for part in map(self._regex, nodes) if part is not None]
                return f"(?:{'|'.join(known)})" if known else None
            case Repeat(inner, least, most):
                return self._repeated(inner, least, most)
            case _:
                raise AssertionError("assertions are not plain")

    def _repeated(self, inner: Node, least: int, most: int | None) -> str | None:
        part = self._regex(inner)
        if part is None:
            return None if least else ""
        if not part or most == 0:
            return ""
        if not isinstance(inner, Characters | Alternatives):
            part = f"(?:{part})"
        bounds = {(0, None): "*", (1, None): "+", (0, 1): "?"}
        return part + bounds.get((least, most), f"{{{least},{'' if most is None else most}}}")

    def _refuse(self, what: str) -> NoReturn:
        raise ConstraintError(f"{what} is not supported; write it without")


def _kind_of(characters: Characters) -> str:
    """Classify a set: only word characters, none, or unknown."""
    if characters.is_negated or characters.is_dot:
        return _SOME
    if not characters.ranges and all(
        (escape.name, escape.is_negated) in (("d", False), ("w", False))
        for escape in characters.escapes
    ):
        return _WORD
    if characters.escapes or any(last >= 128 for _, last in characters.ranges):
        return _SOME
    are_words = {
        chr(code).isalnum() or code == ord("_")
        for first, last in characters.ranges
        for code in range(first, min(last, LAST) + 1)
    }
    return {frozenset({True}): _WORD, frozenset({False}): _OTHER}.get(frozenset(are_words), _SOME)


def _either(tails: list[Tail | None]) -> Tail | None:
    known = [tail for tail in tails if tail is not None]
    if len(known) <= 1:
        return known[0] if known else None
    expression = " | ".join(f"({tail.expression})" for tail in known)
    return Tail(f"({expression})", any(tail.is_nullable for tail in known))


def _atom(expression: str) -> str:
    return f"({expression})" if "|" in expression or "&" in expression else expression
