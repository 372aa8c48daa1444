"""JSON documents, and those that follow a schema."""

import json
from collections.abc import Mapping
from typing import Any, cast

from concordance_shared import ConstraintError
from msgspec import Struct

from concordance_sdk.constraints.byte_grammar import fault_of
from concordance_sdk.constraints.grammar_builder import Free, GrammarBuilder
from concordance_sdk.constraints.schema_faults import explained
from concordance_sdk.constraints.schema_support import enforceable, escapes
from concordance_sdk.constraints.validation import grammar_text, unenforceable


class JsonSchema(Struct, frozen=True):
    r"""A JSON document that follows a schema; any document, with none.

    Keys come in the schema's order. Spaces stand where Python's `json.dumps` puts them, which
    costs the fewest forward passes. The value is the document.

    A keyword that cannot be enforced is refused by its name, never ignored.

    Attributes:
        schema: The schema, as a mapping or as JSON text; true for any document.
        separators: What stands between two items, and between a key and its value.
        any_space: Whether white space may stand wherever JSON allows it.

    Raises:
        ConstraintError: The schema is none, holds a keyword that cannot be enforced, or has no
            document.

    Examples:
        >>> from concordance_sdk.constraints import allows
        >>> person = JsonSchema({
        ...     "type": "object",
        ...     "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        ...     "required": ["name", "age"],
        ...     "additionalProperties": False,
        ... })
        >>> allows(person, '{"name": "Ada", "age": 36}'), allows(person, '{"name": "Ada"}')
        (True, False)
        >>> person.value('{"name": "Ada", "age": 36}')["age"]
        36
    """

    schema: Mapping[str, Any] | bool | str = True
    separators: tuple[str, str] = (", ", ": ")
    any_space: bool = False

    def __post_init__(self) -> None:
        """Check the schema."""
        self._check_separators()
        if fault := fault_of(grammar_text(self)):
            raise unenforceable(self, explained(fault, self._schema()))

    def write(self, grammar: GrammarBuilder) -> Free:
        """The documents, as a rule."""
        schema = self._schema()
        document = enforceable(schema)
        options = {**self._spaces(), "json_allowed_escapes": escapes(schema)}
        return grammar.json(json.dumps({**document, "x-guidance": options}))

    def answer(self, text: str) -> str:
        """The document as it was written."""
        return text

    def value(self, text: str) -> Any:
        """The document."""
        return json.loads(text)

    def _schema(self) -> dict[str, Any]:
        schema = self._json()
        if schema is True:
            return {}
        if not isinstance(schema, dict):
            raise ConstraintError(
                f"JsonSchema takes a schema as a mapping or as JSON text, not {self.schema!r:.60}"
            )
        return cast(dict[str, Any], schema)

    def _json(self) -> Any:
        """The schema, made of what JSON has."""
        text = self.schema
        try:
            if not isinstance(text, str | bytes):
                text = json.dumps(text, allow_nan=False, default=dict)
            return json.loads(text)
        except (TypeError, ValueError) as exc:
            raise ConstraintError(f"what is given to JsonSchema is no JSON: {exc}") from exc

    def _spaces(self) -> dict[str, Any]:
        if self.any_space:
            return {"whitespace_flexible": True}
        item, key = self.separators
        return {"whitespace_flexible": False, "item_separator": item, "key_separator": key}

    def _check_separators(self) -> None:
        item, key = self.separators
        if item.strip(" \t\n\r") != "," or key.strip(" \t\n\r") != ":":
            raise ConstraintError(
                f"the separators of JsonSchema are ',' and ':' with white space around, not "
                f"{self.separators!r:.60}"
            )
