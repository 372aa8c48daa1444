"""Documents that follow their schemas, and what becomes of those that would not."""

import json

import pytest
from checks import problems, without_checked
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
    with pytest.raises(ConcordanceError, match=r"response_format: .*'not' \(at \$\)"):
        play(Structured, says="", schemas=asking_for({"not": {}}))


def test_any_object_where_no_schema_is_given_and_free_text_where_nothing_is_asked_for(play):
    schemas = Schemas(response_format=ResponseFormat(type="json_object"))

    assert json.loads(play(Structured, script='{"a": 1}', schemas=schemas).text) == {"a": 1}
    assert play(Structured, says="Hello!").text == "Hello!"


# The checks


def test_what_is_checked_is_taken_out_wherever_it_stands_and_names_are_left():
    names = {"uniqueItems": {"type": "array", "uniqueItems": True}, "b": {"enum": [{"c": 1}]}}
    left = {"uniqueItems": {"type": "array"}, "b": {"enum": [{"c": 1}]}}

    assert without_checked({"anyOf": [{"properties": names}]}) == {"anyOf": [{"properties": left}]}


UNIQUE = {"type": "array", "uniqueItems": True}


@pytest.mark.parametrize(
    ("schema", "document", "wrong"),
    [
        (UNIQUE, [1, 2], []),
        (UNIQUE, [{"a": 1}, {"a": 1}], ["$ has {'a': 1} twice"]),
        ({"items": UNIQUE}, [[1], [2, 2]], ["$[1] has 2 twice"]),
        ({"additionalProperties": UNIQUE}, {"a": [3, 3]}, ["$.a has 3 twice"]),
        ({"anyOf": [UNIQUE, {"type": "null"}]}, [4, 4], ["$ has 4 twice"]),
        ({"anyOf": [UNIQUE, {"type": "null"}]}, None, []),
        ({"dependentRequired": {"card": ["name"]}}, {"card": 1}, ["$ has 'card' without 'name'"]),
        ({"dependentRequired": {"card": ["name"]}}, {"name": 1}, []),
    ],
)
def test_problems_are_told_with_their_place(schema, document, wrong):
    assert list(problems(document, schema, schema)) == wrong
