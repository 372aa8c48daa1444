"""Writes the grammar of objects whose members are written one by one, not as JSON.

Some models write the arguments of tool calls so: `<parameter=city>Paris</parameter>`. A string is
written as it is, without quotes and escapes; any other value is written as JSON.
"""

import re

from concordance_shared import ConstraintError
from msgspec import Struct

from concordance_sdk.constraints.byte_grammar import NO_TEXT, fault_of
from concordance_sdk.constraints.grammar_builder import literal
from concordance_sdk.constraints.schema.definitions import Definitions, Spaces
from concordance_sdk.constraints.schema.meaning import Meaning
from concordance_sdk.constraints.schema.raw_texts import raw_text, until
from concordance_sdk.constraints.schema.shapes import Boolean, Conjunction, Null, Object, Text
from concordance_sdk.constraints.schema.texts import grammar_of
from concordance_sdk.constraints.schema.writer import Writer

#: Keys that can be distinguished from the texts around them.
_KEY = re.compile(r'[^\s"<>=:{},()\\|][^"<>=:{},()\\|\n]*')


class KeyedSpelling(Struct, frozen=True, kw_only=True):
    """The texts around the members of an object.

    Attributes:
        before_key: Precedes a key.
        after_key: Separates a key from its value.
        quote: Precedes and follows a string, which is written as it is; `None`: it is JSON.
        after_value: Follows a value.
        separator: Separates two members.
        has_python_literals: `True`, `False` and `None` are allowed as well.
        special: The special tokens in these texts, by name.
    """

    before_key: str = ""
    after_key: str
    quote: str | None = ""
    after_value: str = ""
    separator: str = ""
    has_python_literals: bool = False
    special: tuple[tuple[str, int], ...] = ()

    def pieces(self, text: str) -> list[str]:
        """Split a text into special tokens and the texts between them, as expressions."""
        ids = dict(self.special)
        if not ids:
            return [literal(text).expression] if text else []
        names = "|".join(map(re.escape, sorted(ids, key=len, reverse=True)))
        return [
            f"<[{ids[piece]}]>" if piece in ids else literal(piece).expression
            for piece in re.split(f"({names})", text)
            if piece
        ]

    def written(self, text: str) -> str:
        """Return an expression of rules for a text."""
        return " ".join(self.pieces(text))


class MemberKinds(Struct, frozen=True):
    """The kinds of values that a member can have."""

    has_texts: bool
    has_others: bool


class KeyedWriter(Writer):
    """Writes the rules of an object whose members are written one by one."""

    def __init__(
        self, meaning: Meaning, root: Conjunction, spaces: Spaces, spelling: KeyedSpelling
    ) -> None:
        """Expand the conjunctions that are reachable from `root`.

        Raises:
            ConstraintError: A part cannot be enforced, or no finite object matches.
        """
        super().__init__(meaning, root, spaces)
        self._spelling = spelling

    def write(self) -> Definitions:
        """Return the grammar of the objects that match the root.

        Raises:
            ConstraintError: A part cannot be enforced, or the grammar is too large.
        """
        definitions = super().write()
        objects = self._objects()
        bodies = [self._members(shape) for shape in objects]
        root = self._rules.rule(" | ".join(body or '""' for body in bodies))
        terminals = {name: expression for expression, name in self._rules.terminals.items()}
        return Definitions(terminals, self._rules.rules, root, definitions.unique)

    def kinds(self) -> dict[str, MemberKinds]:
        """Return the kinds of values of each key."""
        found: dict[str, MemberKinds] = {}
        for shape in self._objects():
            for key, value in shape.named:
                shapes = self._alive(value)
                known = found.get(key, MemberKinds(has_texts=False, has_others=False))
                found[key] = MemberKinds(
                    known.has_texts or any(isinstance(one, Text) for one in shapes),
                    known.has_others or any(not isinstance(one, Text) for one in shapes),
                )
        return found

    def _objects(self) -> list[Object]:
        return [shape for shape in self._alive(self._root) if isinstance(shape, Object)]

    def _alive(self, conjunction: Conjunction) -> list[object]:
        shapes = self._reachable.shapes[conjunction]
        return [shape for shape in shapes if self._reachable.is_alive(shape)]

    def _members(self, shape: Object) -> str:
        """Write the members of an object; keys that the schema does not name are omitted."""
        named = [
            (key, value)
            for key, value in shape.named
            if value in self._reachable.alive and self._reachable.is_key(shape.keys, key)
        ]
        missing = shape.required.difference(key for key, _ in named)
        if missing:
            raise ConstraintError(
                f"'required' {min(missing)!r:.60} is not in 'properties' (at #/required)"
            )
        kinds = self.kinds()
        entries = [
            (self._member(key, value, kinds[key]), key in shape.required) for key, value in named
        ]
        separator = self._spelling.written(self._spelling.separator)
        return self._rules.chain(entries, None, shape.least, shape.most, separator=separator)

    def _member(self, key: str, value: Conjunction, kinds: MemberKinds) -> str:
        spelling = self._spelling
        if not _KEY.fullmatch(key):
            place = f"#/properties/{key.replace('~', '~0').replace('/', '~1')}"
            raise ConstraintError(
                f"the key {key!r:.60} cannot be written in the format of this model's calls; use "
                f"letters, digits and '_' (at {place})"
            )
        before = spelling.written(spelling.before_key + key + spelling.after_key)
        cases = [case for case in self._cases(value, kinds) if case]
        return f"{before} {self._rules.rule(' | '.join(cases))}"

    def _cases(self, value: Conjunction, kinds: MemberKinds) -> list[str]:
        """Write the alternatives of a value, each with what follows it."""
        spelling = self._spelling
        after = spelling.written(spelling.after_value)
        if spelling.quote is None:
            plain = [self._rules.name(value), *self._python_literals(value)]
            return [f"{one} {after}".strip() for one in plain]
        cases: list[str] = []
        others: list[str] = []
        for shape in self._alive(value):
            if isinstance(shape, Text):
                cases.append(self._raw(shape, is_mixed=kinds.has_others))
            else:
                others += [self._scalar(text) for text in self._written(shape)]  # type: ignore[arg-type]
        if others:
            cases.append(f"{self._rules.rule(' | '.join(dict.fromkeys(others)))} {after}".strip())
        if not any(cases):
            raise ConstraintError("a string cannot be written in the format of this model's calls")
        return cases

    def _scalar(self, written: str) -> str:
        is_rule = " " in written and not written.startswith(('"', "/", "("))
        if written.startswith("%json"):
            return self._rules.rule(written)
        return written if is_rule else self._rules.terminal(written)

    def _python_literals(self, value: Conjunction) -> list[str]:
        if not self._spelling.has_python_literals:
            return []
        found: list[str] = []
        for shape in self._alive(value):
            if isinstance(shape, Null):
                found.append('"None"')
            elif isinstance(shape, Boolean):
                found += [f'"{one}"' for one in sorted(shape.values)]
        return found

    def _raw(self, text: Text, *, is_mixed: bool) -> str:
        """Write a string as it is, with what follows it; empty if there is none."""
        spelling = self._spelling
        quote = spelling.quote or ""
        end = quote + spelling.after_value
        first, *rest = spelling.pieces(end)
        content = raw_text(text, is_mixed=is_mixed and not quote)
        names = dict(spelling.special)
        ending = next((name for name in names if end.startswith(name)), None)
        if ending is not None:
            terminal = until(content, literal(ending).expression)
            following = [first, *rest]
        else:
            terminal = until(content, first, keeps_end=True)
            following = rest
        if fault_of(grammar_of(terminal)) == NO_TEXT:
            return ""
        name = self._rules.terminal(terminal)
        return " ".join([*spelling.pieces(quote), name, *following])
