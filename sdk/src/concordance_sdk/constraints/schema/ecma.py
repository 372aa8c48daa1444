r"""A parser of ECMA-262 regular expressions, the dialect of JSON Schema.

Syntax of other dialects (`\A`, `(?i)`, `[[:alpha:]]`, possessive quantifiers) is rejected by name,
since a validator would interpret it differently or reject it.
"""

from typing import NoReturn

from concordance_shared import ConstraintError
from msgspec import Struct

#: The largest code point.
LAST = 0x10FFFF

#: Control escapes and their code points.
_CONTROL_ESCAPES = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}

#: The maximum of a quantifier without an upper bound.
UNBOUNDED = None

#: Larger repetitions are rejected: they are longer than any text that a model writes.
_MAX_REPEAT = 100_000

#: Maximum nesting depth of groups.
_MAX_DEPTH = 100


class Escape(Struct, frozen=True):
    r"""A class escape: `d`, `w` or `s`, or a Unicode property such as `p{L}`."""

    name: str
    is_negated: bool = False


class Characters(Struct, frozen=True):
    """One character of a class; `.` has `is_dot`."""

    ranges: tuple[tuple[int, int], ...] = ()
    escapes: tuple[Escape, ...] = ()
    is_negated: bool = False
    is_dot: bool = False


class Sequence(Struct, frozen=True):
    """Nodes in sequence."""

    nodes: "tuple[Node, ...]" = ()


class Alternatives(Struct, frozen=True):
    """One of several nodes."""

    nodes: "tuple[Node, ...]"


class Repeat(Struct, frozen=True):
    """A node, repeated."""

    node: "Node"
    least: int
    most: int | None


class Anchor(Struct, frozen=True):
    r"""An anchor or word boundary: `^`, `$`, `b` or `B`."""

    kind: str


class LookAhead(Struct, frozen=True):
    """A positive or negative lookahead."""

    node: "Node"
    is_negated: bool


Node = Characters | Sequence | Alternatives | Repeat | Anchor | LookAhead


def parse(pattern: str) -> Node:
    """Parse a pattern.

    Raises:
        ConstraintError: It is not an ECMA-262 pattern, or a regular grammar cannot express it.
    """
    return _Parser(pattern).parse()


class _Parser:
    """A recursive descent parser of one pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._alternatives()
        if self._at < len(self._pattern):
            self._fail("it has an unmatched ')'")
        return node

    def _fail(self, why: str) -> NoReturn:
        raise ConstraintError(f"{why} (at character {self._at} of the pattern)")

    def _peek(self, text: str) -> bool:
        return self._pattern.startswith(text, self._at)

    def _take(self, text: str) -> bool:
        if not self._peek(text):
            return False
        self._at += len(text)
        return True

    def _next(self) -> str:
        if self._at >= len(self._pattern):
            self._fail("it is incomplete")
        self._at += 1
        return self._pattern[self._at - 1]

    def _alternatives(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._fail(f"its groups are nested deeper than {_MAX_DEPTH}")
        nodes = [self._sequence()]
        while self._take("|"):
            nodes.append(self._sequence())
        self._depth -= 1
        return nodes[0] if len(nodes) == 1 else Alternatives(tuple(nodes))

    def _sequence(self) -> Node:
        nodes: list[Node] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            nodes.append(self._quantified(self._term()))
        return nodes[0] if len(nodes) == 1 else Sequence(tuple(nodes))

    def _term(self) -> Node:
        character = self._next()
        match character:
            case "^" | "$":
                return Anchor(character)
            case "(":
                return self._group()
            case "[":
                return self._class()
            case ".":
                return Characters(is_dot=True)
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                self._fail(f"its {character!r} has nothing to repeat")
            case "{" if self._quantifier_at(self._at - 1):
                self._fail("its '{' has nothing to repeat")
            case _:
                return _one(ord(character))

    def _group(self) -> Node:
        if self._take("?"):
            if self._peek("<=") or self._peek("<!"):
                self._fail("look-behind '(?<' is not supported; write it without")
            if self._take("="):
                return LookAhead(self._closed(), is_negated=False)
            if self._take("!"):
                return LookAhead(self._closed(), is_negated=True)
            if self._take("<"):
                self._name()
            elif not self._take(":"):
                what = self._pattern[self._at - 2 : self._at + 2]
                self._fail(f"{what!r} is not of ECMA-262, the dialect of JSON Schema")
        return self._closed()

    def _closed(self) -> Node:
        node = self._alternatives()
        if not self._take(")"):
            self._fail("a group is not closed with ')'")
        return node

    def _name(self) -> None:
        while (character := self._next()) != ">":
            if not (character.isalnum() or character in "_$"):
                self._fail(f"the name of a group cannot contain {character!r}")

    def _quantified(self, node: Node) -> Node:
        bounds = self._quantifier()
        if bounds is None:
            return node
        if isinstance(node, Anchor | LookAhead):
            self._fail("an assertion, such as '^' or '(?=', cannot be repeated")
        self._take("?")  # a lazy quantifier matches the same texts
        if self._peek("+") or self._peek("*") or self._peek("?") or self._quantifier_at(self._at):
            self._fail("a quantifier follows a quantifier, which is not of ECMA-262")
        least, most = bounds
        if max(least, most or 0) > _MAX_REPEAT:
            self._fail(f"it repeats more than {_MAX_REPEAT} times")
        if most is not None and most < least:
            self._fail("the maximum of a quantifier is less than its minimum")
        return Repeat(node, least, most)

    def _quantifier(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        if found := self._quantifier_at(self._at):
            self._at, bounds = found
            return bounds
        return None

    def _quantifier_at(self, at: int) -> tuple[int, tuple[int, int | None]] | None:
        """Return the end and the bounds of a `{n,m}` at a position, or `None`."""
        end = self._pattern.find("}", at)
        if not self._pattern.startswith("{", at) or end < 0:
            return None
        least, comma, most = self._pattern[at + 1 : end].partition(",")
        if not least and comma and _is_digits(most):
            self._fail("'{,n}' is text in ECMA-262 and a quantifier elsewhere; write '{0,n}'")
        if not _is_digits(least) or (most and not _is_digits(most)) or len(least + most) > 12:
            return None
        if not comma:
            return end + 1, (int(least), int(least))
        return end + 1, (int(least), int(most) if most else UNBOUNDED)

    def _escape(self) -> Node:
        if self._peek("b") or self._peek("B"):
            return Anchor(self._next())
        item = self._escaped(in_class=False)
        return _one(item) if isinstance(item, int) else Characters(escapes=(item,))

    def _escaped(self, *, in_class: bool) -> int | Escape:  # noqa: PLR0911
        """Parse the rest of an escape to a code point or a class."""
        letter = self._next()
        if letter in "dws":
            return Escape(letter)
        if letter in "DWS":
            return Escape(letter.lower(), is_negated=True)
        if letter in "pP" and self._take("{"):
            return self._property(is_negated=letter == "P")
        if letter in _CONTROL_ESCAPES:
            return _CONTROL_ESCAPES[letter]
        if letter == "b" and in_class:
            return 8
        if letter == "0" and not self._pattern[self._at : self._at + 1].isdecimal():
            return 0
        if letter == "c" and self._at < len(self._pattern) and self._pattern[self._at].isascii():
            control = self._next()
            if control.isalpha():
                return ord(control) % 32
        if letter in "xu":
            return self._code(letter)
        if letter.isdecimal() or letter == "k":
            self._fail(f"'\\{letter}', a reference to a group, is not supported; write it without")
        if letter.isalnum():
            self._fail(f"'\\{letter}' is not of ECMA-262, the dialect of JSON Schema")
        return ord(letter)

    def _property(self, *, is_negated: bool) -> Escape:
        end = self._pattern.find("}", self._at)
        name = self._pattern[self._at : end] if end >= 0 else ""
        if not name.replace("_", "").replace("=", "").isalnum():
            self._fail("'\\p{' needs the name of a property and a '}'")
        self._at = end + 1
        return Escape(f"p{{{name}}}", is_negated)

    def _code(self, letter: str) -> int:
        if letter == "u" and self._take("{"):
            end = self._pattern.find("}", self._at)
            digits = self._pattern[self._at : max(end, self._at)]
            self._at = end + 1
        else:
            size = 2 if letter == "x" else 4
            digits = self._pattern[self._at : self._at + size]
            self._at += size
            if len(digits) < size:
                digits = ""
        code = _hexadecimal(digits)
        if code is None or code > LAST:
            self._fail(f"'\\{letter}' needs a code point in hexadecimal digits")
        if 0xD800 <= code <= 0xDBFF and self._take("\\u"):  # a surrogate pair
            low = self._code("u")
            if not 0xDC00 <= low <= 0xDFFF:
                self._fail("half of a surrogate pair is alone")
            return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        return code

    def _class(self) -> Node:
        is_negated = self._take("^")
        if self._peek("[:") or self._peek("[=") or self._peek("[."):
            self._fail(
                "a class such as '[[:alpha:]]' is not of ECMA-262, the dialect of JSON Schema"
            )
        if self._peek("]") and "]" in self._pattern[self._at + 1 :]:
            self._fail(
                "a class that begins with ']' ends there in ECMA-262, and not elsewhere; write "
                "'\\]' for the character"
            )
        ranges: list[tuple[int, int]] = []
        escapes: list[Escape] = []
        while not self._take("]"):
            first = self._in_class()
            if isinstance(first, int) and self._peek("-") and not self._peek("-]"):
                self._take("-")
                last = self._in_class()
                if isinstance(last, Escape):
                    ranges += [(first, first), (45, 45)]
                    escapes.append(last)
                    continue
                if last < first:
                    self._fail("a range of a class ends before it begins")
                ranges.append((first, last))
            elif isinstance(first, int):
                ranges.append((first, first))
            else:
                escapes.append(first)
        return Characters(tuple(ranges), tuple(escapes), is_negated)

    def _in_class(self) -> int | Escape:
        character = self._next()
        return self._escaped(in_class=True) if character == "\\" else ord(character)


def _one(code: int) -> Characters:
    return Characters(((code, code),))


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _hexadecimal(digits: str) -> int | None:
    if not digits or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        return None
    return int(digits, 16)
