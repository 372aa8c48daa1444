"""A constraint to objects whose members are written one by one, as some models write arguments."""

import json
from collections.abc import Mapping
from typing import Any

from concordance_shared import ConstraintError, SchemaError

from concordance_sdk.constraints.byte_grammar import failure_of, fault_of
from concordance_sdk.constraints.constructor import ConstraintStruct
from concordance_sdk.constraints.grammar_builder import Free, GrammarBuilder
from concordance_sdk.constraints.schema.compiler import keyed_definitions_of
from concordance_sdk.constraints.schema.keyed import KeyedSpelling, MemberKinds
from concordance_sdk.constraints.validation import grammar_text


class KeyedObject(ConstraintStruct, frozen=True):
    """An object that follows a schema, as a text that is not JSON.

    A string is written as it is, any other value as JSON. Keys appear in the order of the schema;
    keys that it does not name are not written.

    Attributes:
        schema: The schema.
        spelling: The texts around the members.

    Raises:
        ConstraintError: The schema is invalid, has an unsupported keyword, or matches no object.

    Examples:
        >>> from concordance_sdk.constraints import allows
        >>> spelling = KeyedSpelling(before_key="<", after_key=">", after_value="</>")
        >>> schema = {"properties": {"a": {"type": "string"}, "n": {"type": "integer"}}}
        >>> allows(KeyedObject(schema, spelling), '<a>"x"</><n>3</>')
        True
    """

    schema: Mapping[str, Any]
    spelling: KeyedSpelling

    def __post_init__(self) -> None:
        """Validate the schema."""
        text = grammar_text(self)
        if self.spelling.special:  # a grammar with tokens needs a tokenizer
            return
        if fault := fault_of(text) or failure_of(text):
            raise SchemaError(f"its automaton cannot be used ({fault}) (at #)")

    @property
    def kinds(self) -> dict[str, MemberKinds]:
        """The kinds of values of each key."""
        return keyed_definitions_of(json.dumps(self.schema), self.spelling)[1]

    def write(self, grammar: GrammarBuilder) -> Free:
        """Write the members as a rule.

        Raises:
            SchemaError: A keyword is unsupported, or no object matches.
        """
        try:
            definitions, _ = keyed_definitions_of(json.dumps(self.schema), self.spelling)
        except ConstraintError as exc:
            raise SchemaError(exc.message) from exc
        if definitions.unique:
            raise SchemaError("'uniqueItems' is not supported here; leave it out (at #)")
        return grammar.document(definitions)

    def answer(self, text: str) -> str:
        """Return the text unchanged."""
        return text

    def value(self, text: str) -> str:
        """Return the text unchanged."""
        return text
