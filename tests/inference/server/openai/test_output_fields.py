"""Fields that ask for a format of the completion, over a fake engine that prepares mods."""

from types import SimpleNamespace

import pytest
from concordance_inference.engine.request.instances import make_instances_within
from concordance_inference.mods.format_mod import FormatMod
from concordance_inference.output_format import OutputFormat
from concordance_sdk.testing import ByteTokenizer
from fake_engine import FakeEngine
from msgspec import structs
from openai import OpenAI

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}}
NAMED = {"type": "json_schema", "json_schema": {"name": "x", "schema": OBJECT}}
LARK = 'start: "a" | "b"'


class PreparingEngine(FakeEngine):
    """Makes the instances of mods, as the engine does."""

    def prepare(self, request):
        traits = SimpleNamespace(tokenizer=ByteTokenizer())
        return structs.replace(request, instances=make_instances_within(10, request, traits))


def post(serve, **fields):
    engine = PreparingEngine()
    response = serve(engine).post("/v1/chat/completions", json={**ASK, **fields})
    return response, engine.requests


def formats(request):
    """The formats that the engine enforces for a request."""
    return [
        call.parameters["output"] for call in request.mods if call.definition.target is FormatMod
    ]


@pytest.mark.parametrize(
    ("fields", "kind", "value", "param"),
    [
        ({"response_format": NAMED}, "json", OBJECT, "response_format.json_schema.schema"),
        (
            {"response_format": {"type": "json_object"}},
            "json",
            {"type": "object"},
            "response_format",
        ),
        (
            {"response_format": {"type": "json_object", "schema": OBJECT}},
            "json",
            OBJECT,
            "response_format.json_schema.schema",
        ),
        ({"regex": "a+"}, "regex", "a+", "regex"),
        ({"grammar": LARK}, "grammar", LARK, "grammar"),
        ({"choice": ["a", "b"]}, "choice", ["a", "b"], "choice"),
        ({"guided_json": OBJECT}, "json", OBJECT, "guided_json"),
        ({"guided_json": {}}, "json", {}, "guided_json"),
        ({"guided_json": '{"type": "object"}'}, "json", '{"type": "object"}', "guided_json"),
        ({"guided_regex": "a+"}, "regex", "a+", "guided_regex"),
        ({"guided_choice": ["a"]}, "choice", ["a"], "guided_choice"),
        ({"guided_grammar": LARK}, "grammar", LARK, "guided_grammar"),
        ({"structured_outputs": {"json": OBJECT}}, "json", OBJECT, "structured_outputs.json"),
        ({"structured_outputs": {"regex": "a"}}, "regex", "a", "structured_outputs.regex"),
        ({"structured_outputs": {"choice": ["a"]}}, "choice", ["a"], "structured_outputs.choice"),
        ({"structured_outputs": {"grammar": LARK}}, "grammar", LARK, "structured_outputs.grammar"),
        (
            {"structured_outputs": {"json_object": True}},
            "json",
            {"type": "object"},
            "structured_outputs.json_object",
        ),
    ],
)
def test_a_format_is_enforced_without_a_mod(serve, fields, kind, value, param):
    response, (request,) = post(serve, **fields)

    assert response.status_code == 200, response.text
    assert formats(request) == [OutputFormat(kind=kind, value=value, param=param)]


@pytest.mark.parametrize("strict", [True, False, None])
def test_strict_changes_nothing(serve, strict):
    schema = {"name": "x", "schema": OBJECT, "strict": strict}
    _, (request,) = post(serve, response_format={"type": "json_schema", "json_schema": schema})

    assert formats(request)[0].value == OBJECT


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "text"}},
        {"response_format": None, "regex": None, "guided_json": None, "structured_outputs": None},
        {"regex": "", "grammar": ""},
        {"structured_outputs": {}},
        {"structured_outputs": {"json_object": False, "disable_fallback": True}},
        {"guided_decoding_backend": "auto"},
    ],
)
def test_no_format_enforces_nothing(serve, fields):
    response, (request,) = post(serve, **fields)

    assert response.status_code == 200, response.text
    assert request.mods == ()


def test_naming_the_mod_too_does_not_enforce_twice(serve):
    _, (request,) = post(serve, model="fake/json_schema", response_format=NAMED)

    assert [call.name for call in request.mods] == ["json_schema"]


def test_a_format_acts_after_the_mods_of_the_request(serve):
    _, (request,) = post(serve, model="fake/greeting", regex="a")

    assert [call.name for call in request.mods] == ["greeting", "regex"]


@pytest.mark.parametrize(
    ("fields", "first", "second"),
    [
        ({"response_format": NAMED, "regex": "a"}, "response_format", "regex"),
        (
            {"response_format": {"type": "json_object"}, "guided_json": {}},
            "response_format",
            "guided_json",
        ),
        ({"regex": "a", "choice": ["a"]}, "regex", "choice"),
        ({"regex": "a", "guided_regex": "a"}, "regex", "guided_regex"),
        ({"grammar": LARK, "structured_outputs": {"json": {}}}, "grammar", "structured_outputs"),
        (
            {"structured_outputs": {"json": {}, "regex": "a"}},
            "structured_outputs.json",
            "structured_outputs.regex",
        ),
        (
            {"model": "fake/json_schema", "response_format": NAMED, "regex": "a"},
            "response_format",
            "regex",
        ),
    ],
)
def test_two_formats_are_refused_by_both_names(serve, fields, first, second):
    response, requests = post(serve, **fields)
    error = response.json()["error"]

    assert (response.status_code, requests) == (400, [])
    assert error["message"].startswith(f"{first} and {second}")
    assert error["param"].startswith(second)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"regex": "("}, "regex"),
        ({"regex": 3}, "regex"),
        ({"regex": "a" * 300_000}, "regex"),
        ({"grammar": 'root ::= "a"'}, "grammar"),
        ({"grammar": ["a"]}, "grammar"),
        ({"choice": "a"}, "choice"),
        ({"choice": []}, "choice"),
        ({"choice": [""]}, "choice[0]"),
        ({"choice": ["a", 1]}, "choice[1]"),
        ({"choice": ["a"] * 4097}, "choice"),
        ({"guided_json": {"type": "int"}}, "guided_json"),
        ({"guided_json": "{"}, "guided_json"),
        ({"guided_json": [1]}, "guided_json"),
        ({"guided_regex": "(?=a)"}, "guided_regex"),
        ({"guided_choice": {}}, "guided_choice"),
        ({"guided_grammar": "start: nothing"}, "guided_grammar"),
        ({"guided_whitespace_pattern": " "}, "guided_whitespace_pattern"),
        ({"structured_outputs": "json"}, "structured_outputs"),
        ({"structured_outputs": {"json": 3}}, "structured_outputs.json"),
        ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex"),
        ({"structured_outputs": {"whitespace_pattern": " "}}, "structured_outputs"),
        ({"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs"),
        (
            {"structured_outputs": {"disable_additional_properties": True}},
            "structured_outputs.disable_additional_properties",
        ),
        (
            {"response_format": {"type": "json_object", "schema": {"type": "int"}}},
            "response_format.json_schema.schema",
        ),
    ],
)
def test_a_format_that_is_wrong_is_refused_by_its_name(serve, fields, param):
    response, requests = post(serve, **fields)
    error = response.json()["error"]

    assert (response.status_code, requests) == (400, []), response.text
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("extra", [{}, {"stream": True}])
def test_a_format_may_be_streamed(serve, extra):
    response, _ = post(serve, response_format=NAMED, **extra)

    assert response.status_code == 200


def test_the_official_client_sends_its_formats(serve):
    engine = PreparingEngine()
    http = serve(engine)
    client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none", http_client=http)
    client.chat.completions.create(**ASK, response_format=NAMED)
    client.chat.completions.create(**ASK, extra_body={"guided_choice": ["a", "b"]})

    assert [formats(request)[0].param for request in engine.requests] == [
        "response_format.json_schema.schema",
        "guided_choice",
    ]
