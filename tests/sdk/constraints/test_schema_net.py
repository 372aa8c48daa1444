"""A finished document is judged once more by a validator that knows nothing of the grammar."""

import pytest
from concordance_sdk.constraints import Grammar, JsonSchema, constrain
from concordance_sdk.constraints.schema.net import problem_of
from concordance_sdk.testing import play
from concordance_shared import ConstraintError, ModError

pytest.importorskip("jsonschema_rs", reason="the validator behind the grammar is not installed")


def test_a_document_that_breaks_its_schema_has_a_problem_with_its_place():
    schema = '{"properties": {"a": {"type": "integer"}}}'

    assert problem_of(schema, '{"a": 1}') is None
    assert "(at /a)" in problem_of(schema, '{"a": "x"}')


@pytest.mark.parametrize("schema", ['{"pattern": "("}', '{"$ref": "http://example.org/a"}'])
def test_a_schema_that_the_validator_cannot_read_is_not_judged(schema):
    assert problem_of(schema, '"a"') is None


def test_a_faulty_grammar_ends_the_request_with_an_error_and_no_document():
    class Faulty(JsonSchema, frozen=True):
        def write(self, grammar):
            return Grammar('start: "1"').write(grammar)

    with pytest.raises(ModError, match="let a document through that breaks it") as caught:
        play(constrain(Faulty({"type": "string"})), script="1")
    assert isinstance(caught.value.__cause__, ConstraintError)
