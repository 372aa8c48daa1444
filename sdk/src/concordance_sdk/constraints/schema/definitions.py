"""The grammar of a document, as definitions that stand in a larger one."""

import re

from msgspec import Struct

from concordance_sdk.constraints.schema.places import NOWHERE, Places

#: Names of terminals and rules in an expression that has no other words outside of quotes.
_NAMES = re.compile(r'"(?:[^"\\]|\\.)*"|/(?:[^/\\]|\\.)*/|%json .*|\b[Tvr]\d+\b')


#: What counts for how deep rules nest: names of rules, and brackets.
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"|/(?:[^/\\]|\\.)*/|%json .*|\b[vr]\d+\b|[()]')


class Spaces(Struct, frozen=True):
    """What stands between the parts of a document, as expressions of terminals."""

    item: str
    colon: str
    open_array: str = '"["'
    close_array: str = '"]"'
    open_object: str = '"{"'
    close_object: str = '"}"'


#: White space as it is written over several lines: a space, or a line break and indentation.
_SPACE = "(?: |\\n[ ]{0,12}|\\n\\t{0,6})?"

#: White space wherever JSON allows it, and not much of it.
ANY_SPACE = Spaces(
    item=f"/ ?,{_SPACE}/",
    colon=f"/ ?:{_SPACE}/",
    open_array=f"/\\[{_SPACE}/",
    close_array=f"/{_SPACE}\\]/",
    open_object=f"/\\{{{_SPACE}/",
    close_object=f"/{_SPACE}\\}}/",
)


class Definitions(Struct, frozen=True):
    """A grammar: the expressions of its terminals and rules, by name, and where it begins.

    Attributes:
        terminals: Expressions of terminals.
        rules: Expressions of rules.
        root: The rule of a whole document.
        unique: Where arrays stand whose items differ, which no rule can say.
    """

    terminals: dict[str, str]
    rules: dict[str, str]
    root: str
    unique: Places = NOWHERE

    def depth(self) -> int:
        """How deep rules and brackets nest when they are read from the root on, each rule once.

        llguidance reads them by recursion, on the stack of its thread.
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
        """The definitions in llguidance's variant of Lark, with names that no other document has.

        Args:
            number: Tells the document from others in the same grammar.
        """
        every = {**self.rules, **self.terminals}
        return [
            f"{_prefixed(name, number)}: {_renamed(text, number)}" for name, text in every.items()
        ]


def _references(expression: str) -> list[tuple[str, int]]:
    """The rules that an expression names, each with how many brackets are around it, and 1."""
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
    """An expression with the names of one document."""

    def rename(found: re.Match[str]) -> str:
        return _prefixed(found[0], number) if found[0][0] in "Tvr" else found[0]

    return _NAMES.sub(rename, expression)
