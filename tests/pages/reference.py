"""The reference, in Markdown: every public name with its signature and docstring."""

import ast
import importlib
import inspect
import itertools
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

import msgspec

from pages import docstrings
from pages.builtin_mods import definitions

#: The longest signature on one line.
WIDTH = 96

HEADER = "<!-- Written by `uv run python tests/test_docs.py` from the sources: do not edit. -->\n\n"


class Page(NamedTuple):
    """A page: its file, what is on it, the package to import from, and the modules it describes."""

    file: str
    title: str
    package: str
    modules: tuple[str, ...] = ()  # those of the package if there are none
    extras: tuple[str, ...] = ()  # `module:Name` of results that are not imported by name

    @property
    def names(self) -> list[str]:
        """Public names of the package that these modules define, in order of the source."""
        package = importlib.import_module(self.package)
        homes = {name: home_of(package.__name__, name) for name in package.__all__}
        own = [name for name, (module, _) in homes.items() if self._has(module)]
        return sorted(own, key=lambda name: homes[name])

    def _has(self, module: str) -> bool:
        """True if no other page of the package names a longer prefix of the module."""
        beside = [
            prefix for page in PAGES if page.package == self.package for prefix in page.prefixes
        ]
        matching = [prefix for prefix in beside if f"{module}.".startswith(f"{prefix}.")]
        return max(matching, key=len, default="") in self.prefixes

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Modules and packages whose names it has."""
        return self.modules or (self.package,)


SHARED, SDK = "concordance_shared", "concordance_sdk"

PAGES = (
    Page("sdk.md", "Writing mods", SDK, extras=(f"{SDK}.per_request:PerRequest",)),
    Page(
        "events.md",
        "Events",
        SHARED,
        (f"{SHARED}.channels", f"{SHARED}.events", f"{SHARED}.finish"),
    ),
    Page("actions.md", "Actions", SHARED, (SHARED,)),  # and what is on no other page
    Page(
        "conversation.md",
        "Conversation",
        SHARED,
        (f"{SHARED}.conversation", f"{SHARED}.tool_calls"),
    ),
    Page("errors.md", "Errors", SHARED, (f"{SHARED}.errors", f"{SHARED}.prompt_length")),
    Page("constraints.md", "Constraints", f"{SDK}.constraints"),
    Page("self-prompt.md", "Self-prompts", f"{SDK}.self_prompt"),
    Page("script.md", "Scripts", f"{SDK}.script"),
    Page("flow.md", "Flows", f"{SDK}.flow"),
    Page("text.md", "Text of a completion", f"{SDK}.text"),
    Page("channels.md", "Channels", f"{SDK}.channels"),
    Page("testing.md", "Testing mods", f"{SDK}.testing"),
    Page(
        "inference.md",
        "Python API",
        "concordance_inference",
        extras=(
            "concordance_inference.completion:Usage",
            "concordance_inference.trace:TracedToken",
        ),
    ),
    Page("host.md", "For engines", f"{SDK}.host", (SDK,)),
)


@cache
def written() -> dict[str, str]:
    """The text of each page, by its file."""
    return {page.file: HEADER + _page(page) for page in PAGES}


def reference_index() -> str:
    """A table of the pages, and the names on each."""
    rows = ["| page | import from | names |", "|---|---|---|"]
    for page in PAGES:
        names = ", ".join(f"[`{name}`]({_link(page, name)})" for name in page.names)
        rows.append(f"| [{page.title}](reference/{page.file}) | `{page.package}` | {names} |")
    names = ", ".join(f"[`{d.target.__name__}`](builtin-mods.md#{d.name})" for d in definitions())
    rows.append(f"| [Built-in mods](builtin-mods.md) | `{SDK}.builtin` | {names} |")
    return "\n".join(rows) + "\n"


def _link(page: Page, name: str) -> str:
    return f"reference/{page.file}#{name.lower()}"


@cache
def home_of(package: str, name: str) -> tuple[str, int]:
    """The module that defines a public name, and its line there."""
    value = getattr(importlib.import_module(package), name)
    module = getattr(value, "__module__", None)
    if inspect.isclass(value) or inspect.isfunction(value):
        return str(module), inspect.getsourcelines(value)[1]
    for root in (SHARED, SDK):
        for info in pkgutil.walk_packages(importlib.import_module(root).__path__, f"{root}."):
            if (found := _assignment(info.name, name)) is not None:
                return info.name, found[0].lineno
    raise LookupError(f"{package}.{name} is defined nowhere")


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(importlib.import_module(module)))


def _assignment(module: str, name: str) -> tuple[ast.stmt, str] | None:
    """The statement that assigns a name at the top of a module, and the docstring after it."""
    for statement, following in itertools.pairwise(_tree(module).body):
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        if isinstance(targets[0], ast.Name) and targets[0].id == name:
            text = getattr(getattr(following, "value", None), "value", "")
            return statement, text if isinstance(text, str) else ""
    return None


def _page(page: Page) -> str:
    package = importlib.import_module(page.package)
    intro = [] if page.modules else [inspect.getdoc(package) or ""]
    imported = f"Import these names from `{page.package}`."
    entries = [_entry(page.package, name) for name in page.names]
    entries += [_entry(*extra.split(":")) for extra in page.extras]
    return "\n\n".join([f"# {page.title}", *intro, imported, *entries]) + "\n"


def _entry(package: str, name: str) -> str:
    value = getattr(importlib.import_module(package), name)
    if inspect.isclass(value):
        return _class(name, value)
    if inspect.isfunction(value):
        return _described(name, _signature(name, _function(value)), inspect.getdoc(value) or "")
    module, _ = home_of(package, name)
    statement, doc = _assignment(module, name) or (ast.Pass(), "")
    source = inspect.getsource(importlib.import_module(module))
    return _described(name, ast.get_source_segment(source, statement) or "", doc)


def _described(name: str, code: str, doc: str) -> str:
    return f"## {name}\n\n```python\n{code}\n```\n\n{docstrings.markdown(doc)}".rstrip()


def _function(value: Any) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    return function  # type: ignore[return-value]


def _signature(name: str, function: ast.FunctionDef, *, is_method: bool = False) -> str:
    """`name(a: int, *, b: str = "") -> str`, over several lines if it is long."""
    arguments = _arguments(function.args)[is_method:]
    is_made = name[0].isupper()
    returns = "" if is_made or not function.returns else f" -> {_code(function.returns)}"
    line = f"{name}({', '.join(arguments)}){returns}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in arguments) + f"){returns}"


def _arguments(given: ast.arguments) -> list[str]:
    """The arguments as one would write them, with `/` and `*`."""
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults
    written = [_argument(*pair) for pair in zip(positional, defaults, strict=True)]
    if given.posonlyargs:
        written.insert(len(given.posonlyargs), "/")
    if given.vararg:
        written.append(f"*{_argument(given.vararg, None)}")
    elif given.kwonlyargs:
        written.append("*")
    pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    written += [_argument(*pair) for pair in pairs]
    return [*written, *([f"**{_argument(given.kwarg, None)}"] if given.kwarg else [])]


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {_code(argument.annotation)}" if argument.annotation else ""
    equals = " = " if annotation else "="
    return f"{argument.arg}{annotation}" + (f"{equals}{_code(default)}" if default else "")


def _code(node: ast.AST) -> str:
    """Source in the style of the repository; an annotation that is a text without its quotes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
        is_class = node.value[0].isupper()
        return node.value if is_class else f'"{node.value}"'
    written = ast.unparse(node)
    return written if '"' in written else written.replace("'", '"')


def _class(name: str, cls: type) -> str:
    doc = docstrings.parse(inspect.getdoc(cls) or "")
    parts = [f"## {name}", f"```python\n{_sketch(name, cls)}\n```", doc.prose]
    examples = doc.sections.pop("Examples", "")
    parts += [docstrings.section(key, body) for key, body in doc.sections.items()]
    made = vars(cls).get("__init__")
    if inspect.isfunction(made) and not issubclass(cls, msgspec.Struct):
        of_init = docstrings.parse(inspect.getdoc(made) or "").sections
        parts += [docstrings.section(key, body) for key, body in of_init.items()]
    if examples:
        parts.append(docstrings.examples(examples))
    if members := "\n".join(_members(cls)):
        parts.append(f"Methods and properties:\n\n{members}")
    return "\n\n".join(part for part in parts if part)


def _sketch(name: str, cls: type) -> str:
    """A class as its constructor, or as its fields if they are what makes it."""
    bases = [b.__name__ for b in cls.__bases__ if b.__name__ not in {"object", "Struct", "Generic"}]
    head = f"class {name}({', '.join(bases)})" if bases else f"class {name}"
    made = vars(cls).get("__init__")
    fields = list(_fields(cls))
    if fields:
        return f"{head}:\n" + "\n".join(f"    {line}" for line in fields)
    if inspect.isfunction(made) and not getattr(cls, "_is_protocol", False):
        return f"class {_signature(name, _function(made), is_method=True)}"
    return head


def _fields(cls: type) -> Iterator[str]:
    """Lines of the fields of a struct, of a mod or of an enumeration, inherited ones first."""
    if not issubclass(cls, msgspec.Struct | Enum) and "__concordance_mod__" not in vars(cls):
        return
    lines: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("concordance"):
            lines |= dict(_own_fields(base))
    yield from lines.values()


def _own_fields(cls: type) -> Iterator[tuple[str, str]]:
    source = textwrap.dedent(inspect.getsource(cls))
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    for node in definition.body:
        if isinstance(node, ast.AnnAssign | ast.Assign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name) and not target.id.startswith("_"):
                line = _code(node)
                yield target.id, re.sub(r" = field\(.*\)$", " = ...", line)


def _members(cls: type) -> Iterator[str]:
    """Public methods and properties of a class, as a list."""
    for key, member in vars(cls).items():
        is_property = isinstance(member, property)
        function = member.fget if is_property else getattr(member, "__func__", member)
        if key.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
            continue
        tree = _function(function)
        is_method = not isinstance(member, staticmethod)
        shown = key if is_property else _flat(_signature(key, tree, is_method=is_method))
        shown = f"await {shown}" if inspect.iscoroutinefunction(function) else shown
        doc = docstrings.markdown(inspect.getdoc(function) or "", is_brief=True)
        yield f"- `{shown}`: " + textwrap.indent(doc, "  ").lstrip()


def _flat(signature: str) -> str:
    joined = re.sub(r"\s*\n\s*", " ", signature)
    return joined.replace("( ", "(").replace(", )", ")")
