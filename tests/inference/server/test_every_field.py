"""Every field of every body in `/openapi.json`, with values of wrong types, ranges and sizes."""

import functools
import json
from contextlib import suppress

import jsonschema
import jsonschema_rs
import pytest
from concordance_inference.server.app import ROUTES
from concordance_inference.server.description.openapi import description

SPEC = description(ROUTES)
SCHEMAS = SPEC["components"]["schemas"]
HI = {"role": "user", "content": "hi"}

#: Bodies that are accepted, by the name of their type. Each new type needs one.
BODIES = {
    "ChatCompletionRequest": {"model": "fake", "messages": [HI]},
    "CompletionRequest": {"model": "fake", "prompt": "hi"},
    "ResponseRequest": {"model": "fake", "input": "hi"},
    "TokenizeRequest": {"model": "fake", "prompt": "hi"},
    "DetokenizeRequest": {"model": "fake", "tokens": [1]},
    "MessagesRequest": {"model": "fake", "max_tokens": 5, "messages": [HI]},
    "CountTokensRequest": {"model": "fake", "messages": [HI]},
    "ModelName": {"model": "fake"},
    "EmbeddingRequest": {"model": "fake", "input": "hi"},
    "ModPayload": {"name": "m", "entrypoint": "m", "source": "def m(event, actions): ..."},
}

#: Actions on a request, here on one that does not run.
ACTIONS_PATH = "/v1/requests/{id}/actions"
ACTIONS = {
    "ForceBody": {"type": "force", "text": "a"},
    "BacktrackBody": {"type": "backtrack", "num_tokens": 1},
    "OutputBody": {"type": "output", "text": "a"},
    "EndBody": {"type": "end"},
    "ErrorBody": {"type": "error", "message": "a"},
    "PauseBody": {"type": "pause"},
    "ResumeBody": {"type": "resume"},
    "StepBody": {"type": "step"},
    "AdjustBody": {"type": "adjust", "ban": [1]},
    "ReasonBody": {"type": "reason", "text": "a"},
    "EndReasoningBody": {"type": "end_reasoning"},
    "AddModBody": {"type": "add_mod", "mod": "greeting"},
    "ReplaceModBody": {"type": "replace_mod", "name": "a", "mod": "greeting"},
    "RemoveModBody": {"type": "remove_mod", "name": "a"},
}
BODIES |= ACTIONS
BODIES["DryRun"] = {"says": "hi"}
BODIES["ShareMod"] = {"owner": "ann"}  # who has uploaded none

#: Values as JSON, since Python's encoder cannot write some of them.
VALUES = [
    "true",
    "-1",
    "0",
    "3.5",
    "1e400",
    "1" + "0" * 400,
    '""',
    '"\\ud800"',
    '"' + "x" * 70_000 + '"',
    "[]",
    "{}",
    "[null]",
    '[{"a":[]}]',
    '{"type":"x"}',
    "[" + ",".join(["0"] * 2100) + "]",
    "{" + ",".join(f'"{i}":0' for i in range(2100)) + "}",
    "[" * 200 + "]" * 200,
]


def endpoints():
    for path, methods in SPEC["paths"].items():
        body = methods.get("post", {}).get("requestBody")
        if body and path.startswith("/v1"):
            schema = body["content"]["application/json"]["schema"]
            for each in schema.get("oneOf", [schema]):
                name = each["$ref"].rpartition("/")[2]
                if name not in ACTIONS or path == ACTIONS_PATH:
                    yield path, name


CASES = [(path, name, field) for path, name in endpoints() for field in SCHEMAS[name]["properties"]]


def raw_body(name, field, value):
    """A body that is right but for one field."""
    rest = {key: given for key, given in BODIES[name].items() if key != field}
    fields = [f"{json.dumps(key)}:{json.dumps(given)}" for key, given in rest.items()]
    return "{" + ",".join([*fields, f'"{field}":{value}']) + "}"


@functools.cache
def validators(name, field):
    """The validators of a field: a fast one, and one for numbers that it cannot read."""
    schema = {**SCHEMAS[name]["properties"][field], "components": SPEC["components"]}
    fast = jsonschema_rs.Draft202012Validator(schema)
    return fast.is_valid, jsonschema.Draft202012Validator(schema).is_valid


@functools.cache
def fits(name, field, value):
    """True if a value fits the schema of its field; `None` if the schema cannot say."""
    for is_valid in validators(name, field):
        with suppress(ValueError, RecursionError, OverflowError):
            return is_valid(json.loads(value))
    return None


@pytest.mark.parametrize(("path", "name", "field"), CASES)
def test_a_wrong_field_is_an_error_of_the_client_that_names_it(client, path, name, field):
    for value in VALUES:
        raw = raw_body(name, field, value)
        url = path.format(id="x", name="greeting")
        got = client.post(url, content=raw, headers={"content-type": "application/json"})

        assert got.status_code < 500, (value[:80], got.text)
        if got.status_code < 400:
            assert fits(name, field, value) is not False, value[:80]
            continue
        error = got.json()["error"]
        assert error["message"], value[:80]
        if fits(name, field, value) is False:
            assert (error["param"] or "").startswith(field), (value[:80], error)


#: The model of these tests has no embeddings.
ACCEPTED = sorted({name for _, name, _ in CASES} - {"EmbeddingRequest"})


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_body_that_the_other_values_are_put_into_is_accepted(client, name):
    path = next(path for path, other, _ in CASES if other == name)

    status = client.post(path.format(id="x", name="greeting"), json=BODIES[name]).status_code
    assert status < 300 or (name in {*ACTIONS, "ShareMod"} and status == 404)
