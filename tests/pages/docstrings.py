"""Docstrings in Google's style, as Markdown."""

import re
from typing import NamedTuple

SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields|Examples):$")
ITEM = re.compile(r"^(\w+(?:\.\w+)*)(?: \((.*?)\))?: (.*)$", re.DOTALL)

#: Sections that are lists of entries.
LISTS = ("Args", "Attributes", "Raises")


class Described(NamedTuple):
    """One entry of a section: `name (type): text`."""

    name: str
    type: str
    text: str


class Docstring(NamedTuple):
    """A docstring: its prose, and the bodies of its sections."""

    prose: str
    sections: dict[str, str]

    @property
    def summary(self) -> str:
        """The first paragraph, on one line."""
        return " ".join(self.prose.partition("\n\n")[0].split())


def parse(doc: str) -> Docstring:
    """Split a docstring into its prose and its sections."""
    bodies: dict[str, list[str]] = {"": []}
    current = ""
    for line in doc.splitlines():
        if found := SECTION.match(line):
            current = found[1]
            bodies[current] = []
        else:
            bodies[current].append(line.removeprefix("    ") if current else line)
    texts = {name: "\n".join(lines).strip("\n") for name, lines in bodies.items()}
    return Docstring(texts.pop(""), texts)


def items(body: str) -> list[Described]:
    """The entries of `Args:`, `Attributes:` or `Raises:`, each on one line."""
    joined = re.sub(r"\n +", " ", body)
    found = [ITEM.match(line) for line in joined.splitlines() if line.strip()]
    return [Described(match[1], match[2] or "", match[3]) for match in found if match]


def markdown(doc: str, *, is_brief: bool = False) -> str:
    """A docstring as Markdown; examples keep their prompts, in a block.

    Args:
        doc: The docstring.
        is_brief: Write what it raises in one line.
    """
    parsed = parse(doc)
    sections = [section(name, body, is_brief=is_brief) for name, body in parsed.sections.items()]
    return "\n\n".join(part for part in (parsed.prose, *sections) if part)


def section(name: str, body: str, *, is_brief: bool = False) -> str:
    """A section of a docstring as Markdown."""
    if name == "Examples":
        return examples(body)
    if name == "Raises" and is_brief:
        return "Raises " + " ".join(f"`{each.name}`: {each.text}" for each in items(body))
    if name in LISTS and (found := items(body)):
        lines = [f"- `{each.name}`{_type(each)}: {each.text}" for each in found]
        return f"{name}:\n\n" + "\n".join(lines)
    return f"{name}: " + " ".join(body.split())


def _type(described: Described) -> str:
    return f" ({described.type})" if described.type else ""


def examples(body: str) -> str:
    """The body of `Examples:` as Markdown."""
    blocks = [
        f"```pycon\n{block}\n```" if block.startswith(">>>") else block
        for block in re.split(r"\n\n+", body)
    ]
    return "\n\n".join(blocks)
