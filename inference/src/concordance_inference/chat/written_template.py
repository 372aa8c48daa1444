"""Renders a chat template so that the result knows which characters the template wrote itself.

The literals of the template are `WrittenText`; what the request gives is plain text. So a template
that looks into a content, cuts it or changes it sees what it would see otherwise.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, nodes, pass_environment
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import make_attrgetter
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from concordance_inference.chat.written_text import joined, written

#: Number of compiled templates that are kept.
_MAX_TEMPLATES = 8


class Generation(Extension):
    """The block `{% generation %}`, an extension of transformers."""

    tags = {"generation"}  # noqa: RUF012  # as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse a block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("called")
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def called(self, caller: Callable[[], str]) -> str:
        """Return the text of a block."""
        return caller()


def render_written(source: str, variables: Mapping[str, Any]) -> str:
    """Render a template; the result is a `WrittenText` if the template wrote any of it.

    Args:
        source: The template.
        variables: Its variables. A text that is a `WrittenText` counts as the template's own.

    Raises:
        Exception: The template is a program, and may raise anything.
    """
    return _compiled(source).render(variables)


class _Generator(CodeGenerator):
    """Marks the literals of a template."""

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:  # noqa: N802
        if isinstance(node.value, str):
            self.write(f"environment.literal({node.value!r})")
        else:
            super().visit_Const(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        self.write("environment.joined_values((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        return f"environment.literal({super()._output_const_repr(group)})"


class _Environment(ImmutableSandboxedEnvironment):
    """The environment of transformers, with texts that know who wrote them."""

    code_generator_class = _Generator
    concat = staticmethod(joined)  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            extensions=[Generation, loopcontrols],
        )
        self._literals: dict[str, str] = {}
        self.filters |= {"tojson": _to_json, "join": _join, "replace": _replace}
        self.globals |= {"raise_exception": _raise, "strftime_now": _now}

    def literal(self, text: str) -> str:
        """The text of a literal; the same object each time."""
        if text not in self._literals:
            self._literals[text] = written(text)
        return self._literals[text]

    def joined_values(self, values: Iterable[Any]) -> str:
        """The operator `~`."""
        return joined(map(str, values))


@lru_cache(_MAX_TEMPLATES)
def _compiled(source: str) -> Template:
    return _Environment().from_string(source)


def _to_json(value: Any, *options: Any, **named: Any) -> str:
    """As transformers does: `json.dumps` without escapes of characters that are not ASCII."""
    names = ("ensure_ascii", "indent", "separators", "sort_keys")
    given: dict[str, Any] = {"ensure_ascii": False, **dict(zip(names, options, strict=False))}
    return json.dumps(value, **(given | named))


@pass_environment
def _join(
    environment: _Environment, value: Iterable[Any], d: str = "", attribute: Any = None
) -> str:
    values = value if attribute is None else map(make_attrgetter(environment, attribute), value)
    return _joined_with(d, values)


def _joined_with(separator: str, values: Iterable[Any]) -> str:
    texts = [text for value in values for text in (separator, str(value))]
    return joined(texts[1:])


def _replace(text: Any, old: Any, new: Any, count: int | None = None) -> str:
    most = -1 if count is None else count
    if not str(old):
        return str(text).replace("", str(new), most)
    return _joined_with(str(new), str(text).split(str(old), most))


def _raise(message: str) -> None:
    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)  # local time, as transformers
