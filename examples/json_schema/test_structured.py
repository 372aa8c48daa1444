"""Documents follow their schemas; invalid ones are backtracked and written again."""

import json

import pytest
from concordance_sdk import (
    ConcordanceError,
    ForwardPass,
    JsonSchemaFormat,
    ResponseFormat,
    Schemas,
    mod,
)
from structured import Structured

TAGS = {
    "type": "object",
    "properties": {"tags": {"$ref": "#/$defs/Tags"}},
    "required": ["tags"],
    "additionalProperties": False,
    "$defs": {
        "Tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "uniqueItems": True}
    },
}


def asking_for(schema):
    """A request's schemas, with this one as its response format."""
    named = JsonSchemaFormat(name="answer", schema=schema)
    return Schemas(response_format=ResponseFormat(type="json_schema", json_schema=named))


# Of {"tags": ["a", "b"]}, the model chooses a letter, whether to continue, a letter, ...


def test_document_follows_the_schema(play):
    assert play(Structured, says="a,b]", schemas=asking_for(TAGS)).text == '{"tags": ["a", "b"]}'


def test_invalid_document_is_backtracked_and_written_again(play):
    played = play(Structured, says="a,a]" + "b,a]", schemas=asking_for(TAGS), stream=True)

    assert played.text == '{"tags": ["b", "a"]}'
    assert played.num_backtracked == len('{"tags": ["a", "a"]}')


def test_backtrack_keeps_the_text_before_the_document(play):
    @mod(registered=False)
    def greet(event, actions, tokenizer):
        if isinstance(event, ForwardPass) and event.step == 0:
            return actions.force_tokens(tokenizer.encode("Here:\n"))

    played = play(greet, Structured, says="a,a]" + "b]", schemas=asking_for(TAGS))

    assert played.text == 'Here:\n{"tags": ["b"]}'


def test_last_try_ends_the_request_with_the_problem(play):
    with pytest.raises(ConcordanceError, match=r"3 answers .* because \$\.tags has 'a' twice"):
        play(Structured, says="a,a]" * 3, schemas=asking_for(TAGS))


def test_schema_that_can_neither_be_enforced_nor_checked_is_rejected(play):
    with pytest.raises(ConcordanceError, match=r"response_format: .*'not' \(at #\)"):
        play(Structured, says="", schemas=asking_for({"not": {}}))


def test_keyword_that_cannot_be_checked_is_left_to_the_grammar(play):
    far = {"$anchor": "far", "type": "array", "uniqueItems": True, "items": {"enum": [1, 2]}}
    schemas = asking_for({"$ref": "#far", "$defs": {"Far": far}})

    assert play(Structured, says="1, 1]2]", schemas=schemas).text == "[1, 2]"


def test_schema_without_checked_keywords_may_use_any_reference(play):
    schema = {"$ref": "#far", "$defs": {"Far": {"$anchor": "far", "type": "null"}}}

    assert play(Structured, says="", schemas=asking_for(schema)).text == "null"


def test_keyword_beside_another_schema_is_checked(play):
    numbers = {"type": "array", "items": {"type": "integer"}}
    schema = {"allOf": [numbers, {"uniqueItems": True}]}

    assert play(Structured, says="1,1]" + "1,2]", schemas=asking_for(schema)).text == "[1, 2]"


def test_document_is_checked_by_the_alternative_that_it_follows(play):
    schemas = asking_for({"anyOf": [case("a", uniqueItems=True), case("b")]})
    played = play(Structured, says="a1,1]" + "b1,1]", schemas=schemas)

    assert played.text == '{"k": "b", "v": [1, 1]}'


def case(name, **of_list):
    """A schema of an object with a name and a list, both required."""
    return {
        "type": "object",
        "properties": {"k": {"const": name}, "v": {"type": "array", **of_list}},
        "required": ["k", "v"],
        "additionalProperties": False,
    }


def test_json_object_without_schema_and_free_text_without_format(play):
    schemas = Schemas(response_format=ResponseFormat(type="json_object"))

    assert json.loads(play(Structured, script='{"a": 1}', schemas=schemas).text) == {"a": 1}
    assert play(Structured, says="Hello!").text == "Hello!"
