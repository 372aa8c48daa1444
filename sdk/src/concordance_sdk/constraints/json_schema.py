"""JSON documents, and those that follow a schema."""

import json
from collections.abc import Mapping
from typing import Any, cast

from concordance_shared import ConstraintError, SchemaError
from msgspec import Struct

from concordance_sdk.constraints.byte_grammar import failure_of, fault_of
from concordance_sdk.constraints.grammar_builder import Free, GrammarBuilder, literal
from concordance_sdk.constraints.schema.compiler import definitions_of
from concordance_sdk.constraints.schema.definitions import ANY_SPACE, Spaces
from concordance_sdk.constraints.schema.net import problem_of
from concordance_sdk.constraints.schema.places import Places
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
        text = grammar_text(self)
        if fault := fault_of(text):
            raise unenforceable(self, f"{fault} (at #)", SchemaError)
        if failure := failure_of(text):
            raise unenforceable(
                self,
                f"its automaton is too large to write documents with ({failure}); bound "
                "'maxLength' and the repetitions of 'pattern' lower (at #)",
                SchemaError,
            )

    def write(self, grammar: GrammarBuilder) -> Free:
        """The documents, as a rule.

        Raises:
            SchemaError: The schema holds what cannot be enforced, or no document fits it.
        """
        schema = self._schema()
        try:
            return grammar.document(definitions_of(json.dumps(schema), self._spaces()))
        except ConstraintError as exc:
            raise SchemaError(exc.message) from exc

    def unique_places(self) -> Places:
        """Where arrays stand whose items differ, which the grammar does not say."""
        return definitions_of(json.dumps(self._schema()), self._spaces()).unique

    def problem(self, text: str) -> str | None:
        """Why a validator rejects a document that the grammar allows; `None` if it does not."""
        return problem_of(json.dumps(self._schema()), text)

    def answer(self, text: str) -> str:
        """The document as it was written."""
        return text

    def value(self, text: str) -> Any:
        """The document."""
        return json.loads(text)

    def _schema(self) -> dict[str, Any]:
        schema = self._json()
        if schema is False:
            raise SchemaError("JsonSchema(False) has no document: nothing follows it (at #)")
        if schema is True:
            return {}
        if not isinstance(schema, dict):
            raise SchemaError(
                f"JsonSchema takes a schema as a mapping or as JSON text, not {self.schema!r:.60}"
            )
        return cast(dict[str, Any], schema)

    def _json(self) -> Any:
        """The schema, made of what JSON has."""
        text = self.schema
        try:
            given = json.loads(text) if isinstance(text, str | bytes) else text
            return json.loads(json.dumps(given, allow_nan=False, default=dict))
        except RecursionError as exc:
            raise SchemaError(
                "what is given to JsonSchema is nested too deep; put what is inside under '$defs', "
                "and refer to it (at #)"
            ) from exc
        except (TypeError, ValueError) as exc:
            raise SchemaError(f"what is given to JsonSchema is no JSON: {exc}") from exc

    def _spaces(self) -> Spaces:
        if self.any_space:
            return ANY_SPACE
        item, key = self.separators
        return Spaces(literal(item).expression, literal(key).expression)

    def _check_separators(self) -> None:
        given: Any = self.separators
        if (
            not isinstance(given, tuple | list)
            or len(cast(list[Any], given)) != 2
            or not all(isinstance(one, str) for one in cast(list[Any], given))
        ):
            raise ConstraintError(f"the separators of JsonSchema are two texts, not {given!r:.60}")
        item, key = self.separators
        if item.strip(" \t\n\r") != "," or key.strip(" \t\n\r") != ":":
            raise ConstraintError(
                f"the separators of JsonSchema are ',' and ':' with white space around, not "
                f"{self.separators!r:.60}"
            )
