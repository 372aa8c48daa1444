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


class OutputFormat(Struct, frozen=True, kw_only=True, tag=True):
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

    @property
    def has_response_format(self) -> bool:
        """True if it is the request's `response_format`."""
        return self.field == "response_format"

    @property
    def is_json(self) -> bool:
        """True if it is enforced by a JSON Schema."""
        return self.kind == "json"

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
