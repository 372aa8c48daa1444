"""The mod that keeps an answer to the form that its request asks for."""

import json
import threading

import pytest
from concordance_inference.mods.json_schema import JsonSchemaMod
from concordance_inference.mods.loading import load_entry_points
from concordance_sdk import FinishReason, ForwardPass, Schemas, mod
from concordance_sdk.testing import play
from concordance_shared import JsonSchemaFormat, ResponseFormat, SchemaError

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[a-z]+$"}, "age": {"enum": [3, 36]}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def asking_for(schema=None, kind="json_schema"):
    named = None if schema is None else JsonSchemaFormat(name="answer", schema=schema)
    return Schemas(response_format=ResponseFormat(type=kind, json_schema=named))


def test_json_schema_mod_is_served_under_its_name():
    (found,) = [d for d in load_entry_points() if d.name == "json_schema"]

    assert found.target is JsonSchemaMod


def test_completion_follows_the_schema_of_the_request():
    played = play(JsonSchemaMod, script="__________ada", schemas=asking_for(PERSON))

    assert json.loads(played.text) == {"name": "ada", "age": 36}
    assert played.finish_reason is FinishReason.STOP


def test_json_object_format_allows_any_object():
    played = play(JsonSchemaMod, script='{"a": [1]}', schemas=asking_for(kind="json_object"))

    assert json.loads(played.text) == {"a": [1]}


@pytest.mark.parametrize("schemas", [Schemas(), asking_for(kind="text")])
def test_no_response_format_enforces_nothing(schemas):
    assert play(JsonSchemaMod, script="Hello", schemas=schemas).text == "Hello"


def test_document_may_begin_after_the_reasoning():
    played = play(
        JsonSchemaMod,
        script="<think>hm</think>true",
        schemas=asking_for({"type": "boolean"}),
        parameters={"after": "</think>"},
    )

    assert played.text == "<think>hm</think>true"


def test_any_space_allows_white_space_wherever_json_does():
    script = '{\n  "name" : "ada",\n  "age" : 36\n}'
    played = play(
        JsonSchemaMod, script=script, schemas=asking_for(PERSON), parameters={"any_space": True}
    )

    assert played.text == script


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"properties": {"a": {"type": "int"}}}, "'int' is not a type"),
        ({"properties": {"a": {"pattern": "("}}}, "(at #/properties/a/pattern)"),
        ({"type": "nonsense"}, "nonsense"),
        (None, "needs one"),
    ],
)
def test_schema_that_cannot_be_enforced_is_rejected_before_prefill(schema, words):
    passes = []

    @mod(on=[ForwardPass])
    def count(event, actions):
        passes.append(event)

    with pytest.raises(SchemaError) as caught:
        play(JsonSchemaMod, count, script="", schemas=asking_for(schema))

    assert caught.value.message.startswith("response_format.json_schema.schema: ")
    assert words in caught.value.message
    assert (caught.value.status_code, caught.value.param) == (
        400,
        "response_format.json_schema.schema",
    )
    assert passes == []


def test_schema_that_takes_too_long_to_compile_is_rejected(monkeypatch):
    from concordance_inference.mods import json_schema

    is_over = threading.Event()
    monkeypatch.setattr(json_schema, "COMPILE_S", 0.05)
    monkeypatch.setattr(json_schema.Constrained, "prepare", lambda *_: is_over.wait(300))

    def refusal():
        with pytest.raises(SchemaError) as caught:
            play(JsonSchemaMod, script="", schemas=asking_for({"type": "integer"}))
        assert caught.value.param == "response_format.json_schema.schema"
        return caught.value.message

    assert "takes more than 0.05 s to compile" in refusal()
    assert "is busy with another schema" in refusal()  # the first one runs on
    is_over.set()
    for thread in threading.enumerate():
        if thread.name == "time-limited":
            thread.join()
    monkeypatch.undo()
    assert play(JsonSchemaMod, script="7", schemas=asking_for({"type": "integer"})).text == "7"
