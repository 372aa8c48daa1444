"""The format that a request asks of its completion, which the engine enforces."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from concordance_sdk.constraints import (
    ChoicesStrat,
    Constraint,
    Grammar,
    JsonSchema,
    Regex,
    allows,
)
from concordance_shared import ConstraintError, ResponseFormat
from msgspec import Struct

#: The tags around a model's reasoning, which precedes what is formatted.
REASONING_TAGS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<longcat_think>", "</longcat_think>"),
)

#: Characters of a prompt's end in which a tag is searched.
_TAIL = 64


class OutputFormat(Struct, frozen=True, kw_only=True):
    """The texts that a completion may be, after the reasoning of a model that reasons.

    Attributes:
        kind: JSON that follows a schema, a full match of a regular expression, a text of a Lark
            grammar, or one of several texts.
        value: The schema, as a mapping or as JSON text; the expression; the grammar; the texts.
        param: The field of the request, for messages.

    Examples:
        >>> OutputFormat(kind="choice", value=["yes", "no"], param="choice").constraint()
        ChoicesStrat(choices=('yes', 'no'))
    """

    kind: Literal["json", "regex", "grammar", "choice"]
    value: Any
    param: str

    @property
    def field(self) -> str:
        """The top-level field of the request."""
        return self.param.partition(".")[0]

    def constraint(self) -> Constraint:
        """Return the constraint that enforces it.

        Raises:
            ConstraintError: It cannot be enforced; the message says what and why.
        """
        match self.kind:
            case "json":
                return JsonSchema(cast(Mapping[str, Any] | str, self.value))
            case "regex":
                return Regex(cast(str, self.value))
            case "choice":
                return ChoicesStrat(cast(Sequence[str], self.value))
            case "grammar":
                return _grammar(cast(str, self.value))

    def allows(self, text: str) -> bool:
        """True if a whole text follows the format; JSON may have any white space.

        Examples:
            >>> schema = {"properties": {"a": {"type": "integer"}}}
            >>> output = OutputFormat(kind="json", value=schema, param="guided_json")
            >>> output.allows('{ "a":1 }'), output.allows('{"a": "1"}'), output.allows("{")
            (True, False, False)
        """
        constraint = self.constraint()
        if not isinstance(constraint, JsonSchema):
            return allows(constraint, text)
        try:
            json.loads(text)
        except ValueError:
            return False
        return constraint.problem(text) is None


def _grammar(lark: str) -> Grammar:
    try:
        return Grammar(lark)
    except ConstraintError as exc:
        if "::=" not in lark:
            raise
        raise ConstraintError(
            "a grammar is written in Lark's syntax, with rules such as `start: WORD+`, and not as "
            "GBNF or EBNF with `::=`"
        ) from exc


def format_of(response_format: ResponseFormat | None) -> OutputFormat | None:
    """Return the format that a `response_format` asks for; `None` for plain text."""
    if response_format is None or response_format.type == "text":
        return None
    if response_format.type == "json_object":
        return OutputFormat(kind="json", value={"type": "object"}, param="response_format")
    chosen = response_format.json_schema
    schema = None if chosen is None else chosen.schema
    return OutputFormat(
        kind="json",
        value={} if schema is None else schema,
        param="response_format.json_schema.schema",
    )


def opened_tag(prompt_end: str) -> tuple[str, str] | None:
    r"""Return the tags of the reasoning that a prompt opens; `None` if it opens none.

    Examples:
        >>> opened_tag("assistant\n<think>\n"), opened_tag("<think>\n\n</think>\n\n")
        (('<think>', '</think>'), None)
    """
    end = prompt_end[-_TAIL:].rstrip()
    return next((tags for tags in REASONING_TAGS if end.endswith(tags[0])), None)


def is_closed(prompt_end: str) -> bool:
    r"""True if a prompt closes the reasoning, so that the model does not begin one.

    Examples:
        >>> is_closed("<think>\n\n</think>\n\n")
        True
    """
    end = prompt_end[-_TAIL:].rstrip()
    return any(end.endswith(close) for _, close in REASONING_TAGS)


def after_reasoning(text: str, *, opens: bool) -> str | None:
    """Return what follows the reasoning of a completion; `None` if that does not end.

    Args:
        text: The completion, with special tokens by name.
        opens: The prompt opens the reasoning.

    Examples:
        >>> after_reasoning("hm</think>yes", opens=True), after_reasoning("yes", opens=False)
        ('yes', 'yes')
    """
    for opening, closing in REASONING_TAGS:
        if text.startswith(opening) or (opens and closing in text):
            _, closed, after = text.partition(closing)
            return after if closed else None
    return None if opens else text
