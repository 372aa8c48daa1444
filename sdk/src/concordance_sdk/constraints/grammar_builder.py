"""Builds a llguidance grammar from the parts that constraints write.

llguidance matches in two stages: a lexer takes the longest terminal and never backtracks, and a
parser consumes terminals. Of two adjacent terminals, the first would consume the beginning of the
second. So everything regular is merged into *one* terminal, however deep constraints nest. Only
what no terminal can express (JSON, an author's grammar) is a rule, and where such a part is
adjacent to another, the border is checked here to be unambiguous.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise

from concordance_shared import ConstraintError
from msgspec import Struct

from concordance_sdk.constraints.byte_grammar import can_continue, first_bytes, unjoinable
from concordance_sdk.constraints.schema.definitions import Definitions

#: Bytes that a number can begin with, and those that can continue one.
_NUMBERS = frozenset(b"-0123456789")
_IN_NUMBERS = frozenset(b"0123456789.eE")


class Regular(Struct, frozen=True):
    """A part that one terminal can express."""

    expression: str  # of Lark terminals; can be used in a sequence without parentheses


class Free(Struct, frozen=True):
    """A part that needs rules."""

    expression: str  # of Lark rules; can be used in a sequence without parentheses
    last: str | None = None  # the JSON document or the author's grammar that it ends with

    @property
    def is_document(self) -> bool:
        """True if it ends with a JSON document."""
        return self.last is not None and not self.last.startswith("@")


Part = Regular | Free


def require_writable(text: str) -> None:
    """Reject a string that cannot be encoded as UTF-8.

    Raises:
        ConstraintError: It contains half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ConstraintError(
            f"{text!r:.60} has half of a surrogate pair, which no completion can contain"
        ) from exc


def literal(text: str) -> Regular:
    """Return a part that matches exactly this non-empty text.

    Raises:
        ConstraintError: It contains half of a surrogate pair.
    """
    require_writable(text)
    return Regular(json.dumps(text).replace("\x7f", "\\u007f"))


class GrammarBuilder:
    """Collects the definitions of one grammar.

    Examples:
        >>> grammar = GrammarBuilder()
        >>> yes = grammar.terminal('"yes" | "yes please"')
        >>> print(grammar.lark(grammar.sequence([yes, literal("!")])))
        start: T1
        T0: "yes" | "yes please"
        T1: T0 "!"
    """

    def __init__(self) -> None:
        """Create an empty grammar."""
        self._terminals: dict[str, str] = {}  # expression -> name
        self._rules: dict[str, str] = {}
        self._included: list[dict[str, object]] = []
        self._documents: dict[int, tuple[Definitions, int]] = {}

    def terminal(self, expression: str) -> Regular:
        """Define a terminal; equal expressions share a name."""
        return Regular(self._terminals.setdefault(expression, f"T{len(self._terminals)}"))

    def rule(self, expression: str, *, last: str | None = None) -> Free:
        """Define a rule; equal expressions share a name."""
        return Free(self._rules.setdefault(expression, f"r{len(self._rules)}"), last)

    def document(self, definitions: Definitions) -> Free:
        """Add the definitions of a JSON document."""
        known = self._documents.setdefault(id(definitions), (definitions, len(self._documents)))
        root = f"j{known[1]}{definitions.root}"
        return Free(root, root)

    @property
    def has_unique(self) -> bool:
        """True if a document has `uniqueItems`, which no rule can express."""
        return any(document.unique for document, _ in self._documents.values())

    def include(self, lark: str) -> Free:
        """Add a complete grammar, with its own namespace."""
        name = f"g{len(self._included)}"
        self._included.append({"name": name, "lark_grammar": lark})
        return Free(f"@{name}", f"@{name}")

    def sequence(self, parts: Iterable[Part | None]) -> Part | None:
        """Concatenate parts; `None` is an empty part.

        Raises:
            ConstraintError: The border between two parts is ambiguous.
        """
        merged = self._merged([part for part in parts if part is not None])
        if len(merged) <= 1:
            return merged[0] if merged else None
        for left, right in pairwise(merged):
            self._check_border(left, right)
        expression = " ".join(part.expression for part in merged)
        return self.rule(expression, last=_last(merged[-1]))

    def repeated(self, part: Part, separator: str, least: int, most: int | None) -> Part:
        """Repeat a part at least once, with a separator in between.

        Args:
            part: The part.
            separator: The text between two repetitions; may be empty.
            least: The minimum number of repetitions, at least 1.
            most: The maximum number; `None` for no limit.

        Raises:
            ConstraintError: The border between two repetitions is ambiguous.
        """
        following = self.sequence([literal(separator) if separator else None, part])
        assert following is not None
        if isinstance(part, Free):
            self._check_border(part, following)
        if most == 1:
            return part
        upper = "" if most is None else most - 1
        expression = f"{part.expression} ({following.expression}){{{least - 1},{upper}}}"
        if isinstance(part, Regular):
            return self.terminal(expression)
        return self.rule(expression, last=part.last)

    def optional(self, part: Part) -> Part:
        """Make a part optional."""
        expression = f"({part.expression})?"
        if isinstance(part, Regular):
            return self.terminal(expression)
        return self.rule(expression, last=part.last)

    def lark(self, root: Part) -> str:
        """Return all definitions as Lark, with `root` as the start rule."""
        definitions = [f"start: {root.expression}"]
        definitions += [f"{name}: {expression}" for expression, name in self._rules.items()]
        definitions += [f"{name}: {expression}" for expression, name in self._terminals.items()]
        for document, number in self._documents.values():
            definitions += document.lark(number)
        return "\n".join(definitions)

    def text(self, root: Part) -> str:
        """Return the complete grammar in llguidance's own format."""
        return json.dumps({"grammars": [{"lark_grammar": self.lark(root)}, *self._included]})

    def _merged(self, parts: Sequence[Part]) -> list[Part]:
        """Merge adjacent regular parts into one terminal."""
        merged: list[Part] = []
        for part in parts:
            if merged and isinstance(part, Regular) and isinstance(merged[-1], Regular):
                merged[-1] = Regular(f"{merged[-1].expression} {part.expression}")
            else:
                merged.append(part)
        return [
            self.terminal(part.expression)
            if isinstance(part, Regular) and " " in part.expression
            else part
            for part in merged
        ]

    def _check_border(self, left: Part, right: Part) -> None:
        """Reject two adjacent parts if the end of the first is ambiguous."""
        if isinstance(left, Regular):
            if can_continue(left.expression, self.lark(left)):
                raise ConstraintError(
                    "what precedes a JSON document or a grammar could still continue where that "
                    "begins; end it with a separator or a terminator that it cannot contain"
                )
        elif left.is_document:
            self._check_number(Free(left.last or ""), right)
        else:
            self._check_grammar(Free(left.last or left.expression), right)

    def _check_number(self, document: Free, right: Part) -> None:
        if self._begins_with(document, _NUMBERS) and self._begins_with(right, _IN_NUMBERS):
            raise ConstraintError(
                "a number cannot be separated from what follows it; put a separator between them "
                "that does not begin with a digit, '.' or 'e'"
            )

    def _check_grammar(self, left: Free, right: Part) -> None:
        both = self.text(Free(f"{left.expression} {right.expression}"))
        if pair := unjoinable(self.text(left), self.text(right), both):
            first, second = (text.decode(errors="replace") for text in pair)
            raise ConstraintError(
                f"a grammar consumes what follows it: {first!r:.40} matches it, but cannot be "
                f"followed by {second!r:.40}; begin the following text with a character that "
                "the grammar cannot contain there, such as a line break"
            )

    def _begins_with(self, part: Part, some: frozenset[int]) -> bool:
        return bool(first_bytes(self.text(part)) & some)


def _last(part: Part) -> str | None:
    return part.last if isinstance(part, Free) else None


def character_class(characters: str) -> str:
    """Return the inside of a regular expression's character class for these characters.

    Raises:
        ConstraintError: One is half of a surrogate pair.
    """
    require_writable(characters)
    return "".join(f"\\x{{{ord(character):x}}}" for character in characters)


def up_to_first(grammar: GrammarBuilder, content: str, end: str) -> Regular:
    """Return a terminal for content followed by its first terminator.

    No text of it is a proper prefix of another, so what follows it cannot be taken for content:
    it matches `content end`, except texts of which a proper prefix matches that already.

    Args:
        grammar: The grammar to define it in.
        content: A terminal expression.
        end: The terminator, not empty.
    """
    ended = grammar.terminal(f"{content} {literal(end).expression}")
    ended_before = grammar.terminal(f"{ended.expression} /(?s:.)+/")
    return grammar.terminal(f"{ended.expression} & ~{ended_before.expression}")
