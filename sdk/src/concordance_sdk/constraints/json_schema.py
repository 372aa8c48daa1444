"""A constraint to JSON documents, with or without a schema."""

import json
from collections.abc import Mapping
from typing import Any, cast

from concordance_shared import ConstraintError, SchemaError

from concordance_sdk.constraints.byte_grammar import failure_of, fault_of
from concordance_sdk.constraints.constructor import ConstraintStruct
from concordance_sdk.constraints.grammar_builder import Free, GrammarBuilder, literal
from concordance_sdk.constraints.schema.compiler import definitions_of
from concordance_sdk.constraints.schema.definitions import ANY_SPACE, Spaces
from concordance_sdk.constraints.schema.places import Places
from concordance_sdk.constraints.schema.validator import problem_of
from concordance_sdk.constraints.validation import grammar_text, unenforceable


class JsonSchema(ConstraintStruct, frozen=True):
    r"""A JSON document that matches a schema, or any document.

    Keys appear in the order of the schema. White space is where Python's `json.dumps` puts it,
    which costs the fewest forward passes. The value is the decoded document.

    An unsupported keyword is rejected by name, never ignored.

    Attributes:
        schema: The schema, as a mapping or as JSON text; true for any document.
        separators: The text between two items, and the text between a key and its value.
        any_space: True to allow white space wherever JSON allows it.

    Raises:
        ConstraintError: The schema is invalid, has an unsupported keyword, or matches no
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
        """Validate the schema."""
        self._check_separators()
        text = grammar_text(self)
        if fault := fault_of(text):
            raise unenforceable(self, f"{fault} (at #)", SchemaError)
        if failure := failure_of(text):
            raise unenforceable(
                self,
                f"its automaton is too large to write documents with ({failure}); lower the "
                "bounds of 'maxLength' and the repetitions of 'pattern' (at #)",
                SchemaError,
            )

    def write(self, grammar: GrammarBuilder) -> Free:
        """Write the documents as a rule.

        Raises:
            SchemaError: A keyword is unsupported, or no document matches.
        """
        schema = self._schema()
        try:
            return grammar.document(definitions_of(json.dumps(schema), self._spaces()))
        except ConstraintError as exc:
            raise SchemaError(exc.message) from exc

    def unique_places(self) -> Places:
        """Return where `uniqueItems` applies, which the grammar does not express."""
        return definitions_of(json.dumps(self._schema()), self._spaces()).unique

    def problem(self, text: str) -> str | None:
        """Return why a validator rejects a document that the grammar allows, or `None`."""
        return problem_of(json.dumps(self._schema()), text)

    def answer(self, text: str) -> str:
        """Return the document as written."""
        return text

    def value(self, text: str) -> Any:
        """Decode the document."""
        return json.loads(text)

    def _schema(self) -> dict[str, Any]:
        schema = self._json()
        if schema is False:
            raise SchemaError("JsonSchema(False) has no document: nothing matches it (at #)")
        if schema is True:
            return {}
        if not isinstance(schema, dict):
            raise SchemaError(
                f"JsonSchema takes a schema as a mapping or as JSON text, not {self.schema!r:.60}"
            )
        return cast(dict[str, Any], schema)

    def _json(self) -> Any:
        """Convert the schema to plain JSON types."""
        text = self.schema
        if isinstance(text, type):
            raise SchemaError(
                f"JsonSchema takes a schema as a mapping or JSON text, not the class "
                f"{text.__name__}; a Pydantic model makes one by .model_json_schema(), a msgspec "
                "Struct by msgspec.json.schema()"
            )
        try:
            given = json.loads(text) if isinstance(text, str | bytes) else text
            return json.loads(json.dumps(given, allow_nan=False, default=dict))
        except RecursionError as exc:
            raise SchemaError(
                "the schema given to JsonSchema is nested too deep; move inner schemas to '$defs' "
                "and refer to them (at #)"
            ) from exc
        except (TypeError, ValueError) as exc:
            raise SchemaError(f"the schema given to JsonSchema is not JSON: {exc}") from exc

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
            raise ConstraintError(f"separators of JsonSchema are two strings, not {given!r:.60}")
        item, key = self.separators
        if item.strip(" \t\n\r") != "," or key.strip(" \t\n\r") != ":":
            raise ConstraintError(
                f"the separators of JsonSchema are ',' and ':' with white space around, not "
                f"{self.separators!r:.60}"
            )
