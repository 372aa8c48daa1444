import json

import jsonschema
import pytest
from concordance_inference.server.app import ROUTES
from concordance_inference.server.description.openapi import description

SPEC = description(ROUTES)
FIELDS = [
    (name, field)
    for name, schema in SPEC["components"]["schemas"].items()
    if not name.startswith("Error")
    for field in schema.get("properties", {})
]


def body_schema(name):
    """The schema of a body, with the components that it refers to."""
    text = json.dumps({"$ref": f"#/components/schemas/{name}", "components": SPEC["components"]})
    return json.loads(text)


def test_the_server_returns_the_description(client):
    got = client.get("/openapi.json")

    assert got.status_code == 200
    assert got.json() == json.loads(json.dumps(SPEC))
    assert got.json()["openapi"] == "3.1.0"


def test_each_method_of_each_path_has_a_summary_and_an_id_of_its_own():
    operations = [operation for path in SPEC["paths"].values() for operation in path.values()]

    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"].endswith(".") for operation in operations)


def test_path_parameters_are_described():
    path = SPEC["paths"]["/v1/models/{name}"]["get"]

    assert [parameter["name"] for parameter in path["parameters"]] == ["name"]


@pytest.mark.parametrize("name", SPEC["components"]["schemas"])
def test_each_schema_is_a_json_schema_whose_references_exist(name):
    schema = body_schema(name)

    jsonschema.Draft202012Validator.check_schema(schema)
    for reference in json.dumps(schema).split('"$ref": "')[1:]:
        target = reference.partition('"')[0].rpartition("/")[2]
        assert target in SPEC["components"]["schemas"]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_each_field_says_what_it_means(name, field):
    assert SPEC["components"]["schemas"][name]["properties"][field].get("description")


@pytest.mark.parametrize(
    ("change", "is_valid"),
    [
        ({}, True),
        ({"temperature": 0.5, "stop": ["a"], "mods": ["m", {"name": "n"}]}, True),
        ({"temperature": 3}, False),
        ({"messages": "hi"}, False),
        ({"messages": [{"role": "user", "content": 5}]}, False),
    ],
)
def test_a_body_is_valid_in_the_description_as_in_the_server(client, change, is_valid):
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **change}
    schema = body_schema("ChatCompletionRequest")

    assert jsonschema.Draft202012Validator(schema).is_valid(body) == is_valid
    got = client.post("/v1/chat/completions", json=body)
    assert is_valid == (got.status_code != 400)
