"""A finished document is validated again, independently of the grammar."""

import pytest
from concordance_sdk.constraints import Grammar, JsonSchema, constrain
from concordance_sdk.constraints.schema.validator import problem_of
from concordance_sdk.testing import play
from concordance_shared import ConstraintError, ModError

pytest.importorskip("jsonschema_rs", reason="the independent validator is not installed")


def test_problem_of_an_invalid_document_names_the_location():
    schema = '{"properties": {"a": {"type": "integer"}}}'

    assert problem_of(schema, '{"a": 1}') is None
    assert "(at /a)" in problem_of(schema, '{"a": "x"}')


@pytest.mark.parametrize("schema", ['{"pattern": "("}', '{"$ref": "http://example.org/a"}'])
def test_schema_that_the_validator_cannot_load_is_not_validated(schema):
    assert problem_of(schema, '"a"') is None


def test_faulty_grammar_ends_the_request_with_an_error():
    class Faulty(JsonSchema, frozen=True):
        def write(self, grammar):
            return Grammar('start: "1"').write(grammar)

    with pytest.raises(ModError, match="allowed a document that violates it") as caught:
        play(constrain(Faulty({"type": "string"})), script="1")
    assert isinstance(caught.value.__cause__, ConstraintError)
