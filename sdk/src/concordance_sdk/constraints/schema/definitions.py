"""The grammar of a JSON document, as definitions that are embedded in a larger grammar."""

import re

from msgspec import Struct

from concordance_sdk.constraints.schema.places import NOWHERE, Places

#: Names of terminals and rules in an expression; also quoted strings, to skip them.
_NAMES = re.compile(r'"(?:[^"\\]|\\.)*"|/(?:[^/\\]|\\.)*/|%json .*|\b[Tvr]\d+\b')


#: References to rules and parentheses, which determine the nesting depth.
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"|/(?:[^/\\]|\\.)*/|%json .*|\b[vr]\d+\b|[()]')


class Spaces(Struct, frozen=True):
    """Punctuation with white space, as terminal expressions."""

    item: str
    colon: str
    open_array: str = '"["'
    close_array: str = '"]"'
    open_object: str = '"{"'
    close_object: str = '"}"'


#: Usual white space of indented JSON: a space, or a line break and indentation.
_SPACE = "(?: |\\n[ ]{0,12}|\\n\\t{0,6})?"

#: White space wherever JSON allows it, up to a limit.
ANY_SPACE = Spaces(
    item=f"/ ?,{_SPACE}/",
    colon=f"/ ?:{_SPACE}/",
    open_array=f"/\\[{_SPACE}/",
    close_array=f"/{_SPACE}\\]/",
    open_object=f"/\\{{{_SPACE}/",
    close_object=f"/{_SPACE}\\}}/",
)


class Definitions(Struct, frozen=True):
    """A grammar: its terminals and rules by name, and the start rule.

    Attributes:
        terminals: Name -> terminal expression.
        rules: Name -> rule expression.
        root: The rule of the whole document.
        unique: Where `uniqueItems` applies, which no rule can express.
    """

    terminals: dict[str, str]
    rules: dict[str, str]
    root: str
    unique: Places = NOWHERE

    def depth(self) -> int:
        """Return the maximum nesting depth of rules and parentheses, visiting each rule once.

        llguidance processes them recursively, on the stack of its thread.
        """
        deepest, seen = 0, {self.root}
        waiting = [(iter(_references(self.rules[self.root])), 0)]
        while waiting:
            references, depth = waiting[-1]
            name, inner = next(references, ("", 0))
            deepest = max(deepest, depth + inner)
            if not name:
                waiting.pop()
            elif name not in seen:
                seen.add(name)
                waiting.append((iter(_references(self.rules[name])), depth + inner))
        return deepest

    def lark(self, number: int) -> list[str]:
        """Return the definitions as Lark, with names unique to this document.

        Args:
            number: The index of the document within the grammar.
        """
        every = {**self.rules, **self.terminals}
        return [
            f"{_prefixed(name, number)}: {_renamed(text, number)}" for name, text in every.items()
        ]


def _references(expression: str) -> list[tuple[str, int]]:
    """Return the rules that an expression references, each with its parenthesis depth plus 1."""
    found: list[tuple[str, int]] = []
    depth = 1
    for match in _NESTING.finditer(expression):
        text = match[0]
        if text in "()":
            depth += 1 if text == "(" else -1
        elif text[0] in "vr":
            found.append((text, depth))
    return found


def _prefixed(name: str, number: int) -> str:
    return f"J{number}{name}" if name[0] == "T" else f"j{number}{name}"


def _renamed(expression: str, number: int) -> str:
    """Prefix all names in an expression with the number of the document."""

    def rename(found: re.Match[str]) -> str:
        return _prefixed(found[0], number) if found[0][0] in "Tvr" else found[0]

    return _NAMES.sub(rename, expression)
