"""Documents that follow their schemas, and what becomes of those that would not."""

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


# What is left to the model of {"tags": ["a", "b"]} is a letter, whether there is more, a letter...


def test_a_document_follows_the_schema(play):
    assert play(Structured, says="a,b]", schemas=asking_for(TAGS)).text == '{"tags": ["a", "b"]}'


def test_one_that_is_wrong_is_taken_back_and_written_anew(play):
    played = play(Structured, says="a,a]" + "b,a]", schemas=asking_for(TAGS), stream=True)

    assert played.text == '{"tags": ["b", "a"]}'
    assert played.num_taken_back == len('{"tags": ["a", "a"]}')


def test_a_text_that_another_mod_put_before_it_stays(play):
    @mod(registered=False)
    def greet(event, actions, tokenizer):
        if isinstance(event, ForwardPass) and event.step == 0:
            return actions.force_tokens(tokenizer.encode("Here: "))

    played = play(greet, Structured, says="a,a]" + "b]", schemas=asking_for(TAGS))

    assert played.text == 'Here: {"tags": ["b"]}'


def test_after_some_tries_the_request_ends_and_says_why(play):
    with pytest.raises(ConcordanceError, match=r"3 answers .* because \$\.tags has 'a' twice"):
        play(Structured, says="a,a]" * 3, schemas=asking_for(TAGS))


def test_what_can_neither_be_enforced_nor_checked_is_refused(play):
    with pytest.raises(ConcordanceError, match=r"response_format: .*'not' \(at #\)"):
        play(Structured, says="", schemas=asking_for({"not": {}}))


def test_what_stands_where_it_cannot_be_checked_is_left_to_the_grammar(play):
    far = {"$anchor": "far", "type": "array", "uniqueItems": True, "items": {"enum": [1, 2]}}
    schemas = asking_for({"$ref": "#far", "$defs": {"Far": far}})

    assert play(Structured, says="1, 1]2]", schemas=schemas).text == "[1, 2]"


def test_a_schema_with_nothing_to_check_may_refer_as_it_likes(play):
    schema = {"$ref": "#far", "$defs": {"Far": {"$anchor": "far", "type": "null"}}}

    assert play(Structured, says="", schemas=asking_for(schema)).text == "null"


def test_what_has_to_hold_beside_another_schema_is_checked(play):
    numbers = {"type": "array", "items": {"type": "integer"}}
    schema = {"allOf": [numbers, {"uniqueItems": True}]}

    assert play(Structured, says="1,1]" + "1,2]", schemas=asking_for(schema)).text == "[1, 2]"


def test_a_document_is_checked_by_the_case_that_it_follows(play):
    schemas = asking_for({"anyOf": [case("a", uniqueItems=True), case("b")]})
    played = play(Structured, says="a1,1]" + "b1,1]", schemas=schemas)

    assert played.text == '{"k": "b", "v": [1, 1]}'


def case(name, **of_list):
    """An object with a name and a list, both needed."""
    return {
        "type": "object",
        "properties": {"k": {"const": name}, "v": {"type": "array", **of_list}},
        "required": ["k", "v"],
        "additionalProperties": False,
    }


def test_any_object_where_no_schema_is_given_and_free_text_where_nothing_is_asked_for(play):
    schemas = Schemas(response_format=ResponseFormat(type="json_object"))

    assert json.loads(play(Structured, script='{"a": 1}', schemas=schemas).text) == {"a": 1}
    assert play(Structured, says="Hello!").text == "Hello!"
