"""Puts the text of a llguidance grammar together, from the parts that constraints write.

llguidance reads in two stages: a lexer takes the longest terminal it can and never goes back, and
a parser sees terminals only. Of two terminals side by side, the first would swallow what belongs
to the second. So everything regular becomes *one* terminal, however deep constraints nest; only
what no terminal can say (JSON, a grammar of the author's own) stands as a rule, and where such a
part borders on others, the border is checked here.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise

from concordance_shared import ConstraintError
from msgspec import Struct

from concordance_sdk.constraints.byte_grammar import can_go_on, first_bytes, unjoinable
from concordance_sdk.constraints.schema.definitions import Definitions

#: Bytes with which a number begins, and goes on.
_NUMBERS = frozenset(b"-0123456789")
_IN_NUMBERS = frozenset(b"0123456789.eE")


class Regular(Struct, frozen=True):
    """A part that a terminal can say."""

    expression: str  # of Lark's terminals, safe to stand in a sequence


class Free(Struct, frozen=True):
    """A part that needs rules of its own."""

    expression: str  # of Lark's rules, safe to stand in a sequence
    last: str | None = None  # the JSON document or the author's own grammar that it ends with

    @property
    def is_document(self) -> bool:
        """Whether it ends with a JSON document."""
        return self.last is not None and not self.last.startswith("@")


Part = Regular | Free


def require_writable(text: str) -> None:
    """Refuse a text that is none in UTF-8.

    Raises:
        ConstraintError: It has half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ConstraintError(
            f"{text!r:.60} has half of a surrogate pair, which no answer can have"
        ) from exc


def literal(text: str) -> Regular:
    """A part that is exactly this text, which is not empty.

    Raises:
        ConstraintError: It has half of a surrogate pair, which no answer can have.
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
        """Begin an empty grammar."""
        self._terminals: dict[str, str] = {}  # expression -> name
        self._rules: dict[str, str] = {}
        self._included: list[dict[str, object]] = []
        self._documents: dict[int, tuple[Definitions, int]] = {}

    def terminal(self, expression: str) -> Regular:
        """Name an expression of terminals; the same one gets the same name."""
        return Regular(self._terminals.setdefault(expression, f"T{len(self._terminals)}"))

    def rule(self, expression: str, *, last: str | None = None) -> Free:
        """Name an expression of rules."""
        return Free(self._rules.setdefault(expression, f"r{len(self._rules)}"), last)

    def document(self, definitions: Definitions) -> Free:
        """A JSON document, by the definitions of its parts."""
        known = self._documents.setdefault(id(definitions), (definitions, len(self._documents)))
        root = f"j{known[1]}{definitions.root}"
        return Free(root, root)

    @property
    def has_unique(self) -> bool:
        """Whether a document has arrays whose items differ, which no rule can say."""
        return any(document.unique for document, _ in self._documents.values())

    def include(self, lark: str) -> Free:
        """Take in a whole grammar with names of its own."""
        name = f"g{len(self._included)}"
        self._included.append({"name": name, "lark_grammar": lark})
        return Free(f"@{name}", f"@{name}")

    def sequence(self, parts: Iterable[Part | None]) -> Part | None:
        """Parts one behind the other; `None` stands for nothing.

        Raises:
            ConstraintError: Where one ends and the next begins cannot be told.
        """
        merged = self._merged([part for part in parts if part is not None])
        if len(merged) <= 1:
            return merged[0] if merged else None
        for left, right in pairwise(merged):
            self._check_border(left, right)
        expression = " ".join(part.expression for part in merged)
        return self.rule(expression, last=_last(merged[-1]))

    def repeated(self, part: Part, separator: str, least: int, most: int | None) -> Part:
        """A part, several times, at least once, with a separator between.

        Args:
            part: The part.
            separator: What stands between two of them; may be empty.
            least: How often at least, 1 or more.
            most: How often at most; `None` for any number.

        Raises:
            ConstraintError: Where one ends and the next begins cannot be told.
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
        """A part, or nothing."""
        expression = f"({part.expression})?"
        if isinstance(part, Regular):
            return self.terminal(expression)
        return self.rule(expression, last=part.last)

    def lark(self, root: Part) -> str:
        """The definitions so far, with `root` as what the grammar is of."""
        definitions = [f"start: {root.expression}"]
        definitions += [f"{name}: {expression}" for expression, name in self._rules.items()]
        definitions += [f"{name}: {expression}" for expression, name in self._terminals.items()]
        for document, number in self._documents.values():
            definitions += document.lark(number)
        return "\n".join(definitions)

    def text(self, root: Part) -> str:
        """The whole grammar, in llguidance's own format."""
        return json.dumps({"grammars": [{"lark_grammar": self.lark(root)}, *self._included]})

    def _merged(self, parts: Sequence[Part]) -> list[Part]:
        """Regular parts side by side made into one terminal."""
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
        """Refuse two parts of which nobody can tell where the first ends."""
        if isinstance(left, Regular):
            if can_go_on(left.expression, self.lark(left)):
                raise ConstraintError(
                    "what stands before a JSON document or a grammar could still go on where that "
                    "begins; end it with a separator or a terminator that it cannot contain"
                )
        elif left.is_document:
            self._check_number(Free(left.last or ""), right)
        else:
            self._check_grammar(Free(left.last or left.expression), right)

    def _check_number(self, document: Free, right: Part) -> None:
        if self._begins_with(document, _NUMBERS) and self._begins_with(right, _IN_NUMBERS):
            raise ConstraintError(
                "a number cannot be told from what follows it; put a separator between them that "
                "does not begin with a digit, '.' or 'e'"
            )

    def _check_grammar(self, left: Free, right: Part) -> None:
        both = self.text(Free(f"{left.expression} {right.expression}"))
        if pair := unjoinable(self.text(left), self.text(right), both):
            first, second = (text.decode(errors="replace") for text in pair)
            raise ConstraintError(
                f"a grammar swallows what stands behind it: {first!r:.40} is a text of it, and yet "
                f"cannot be followed by {second!r:.40}; begin what follows with a character that "
                "cannot stand there in the grammar, such as a line break"
            )

    def _begins_with(self, part: Part, some: frozenset[int]) -> bool:
        return bool(first_bytes(self.text(part)) & some)


def _last(part: Part) -> str | None:
    return part.last if isinstance(part, Free) else None


def character_class(characters: str) -> str:
    """The inside of a regular expression's character class that has these characters.

    Raises:
        ConstraintError: One is half of a surrogate pair.
    """
    require_writable(characters)
    return "".join(f"\\x{{{ord(character):x}}}" for character in characters)


def up_to_first(grammar: GrammarBuilder, content: str, end: str) -> Regular:
    """Text of some content and then an end, the first that makes it one.

    No text of it goes on: nothing that follows can be mistaken for more of it.

    Args:
        grammar: Where it is written.
        content: An expression of terminals.
        end: The text that ends it, not empty.
    """
    ended = grammar.terminal(f"{content} {literal(end).expression}")
    ended_before = grammar.terminal(f"{ended.expression} /(?s:.)+/")
    return grammar.terminal(f"{ended.expression} & ~{ended_before.expression}")
