"""No request gives a 5xx or a traceback: each field, header, method and path, wrong in many ways."""

# ruff: noqa: E501  # a place in a request is easier to read in one line

import gzip
import itertools
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import msgspec
import pytest
from concordance_inference.engine.request.instances import make_instances_within
from concordance_inference.mods import json_schema
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.server.openai.schemas import ChatCompletionRequest
from concordance_inference.server.openai.unsupported import FIELDS, MESSAGE_FIELDS
from concordance_sdk.constraints import JsonSchema
from concordance_sdk.testing import ByteTokenizer
from fake_engine import FakeEngine
from msgspec import structs
from sandboxes import limited

URL = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
ASK = '"model": "fake", "messages": [{"role": "user", "content": "hi"}]'
DEEP = "[" * 900 + "]" * 900
DEEPER = '{"a":' * 3000 + "1" + "}" * 3000

#: Values as JSON text, since some of them are none.
VALUES = [
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1",
    "2",
    "1.5",
    "-0.0",
    "1e400",
    "-1e400",
    "1e-320",
    "1e30",
    "9223372036854775808",
    "-9223372036854775809",
    '""',
    '"x"',
    '"\\u0000"',
    '"\\ud800"',
    '"\\udc00x"',
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "[null]",
    "[0]",
    '["x"]',
    '{"a":1}',
    '{"":null}',
    '{"type":"x"}',
    '{"type":null}',
    '{"name":"x"}',
    '{"a":1,"a":2}',
    "NaN",
    "Infinity",
    "1" + "0" * 5000,
    '"' + "9" * 5000 + '"',
    '"' + "x" * 300000 + '"',
    '["' + "x" * 300000 + '"]',
    "[" + ",".join(["0"] * 5000) + "]",
    "[" + ",".join(['{"a":{}}'] * 5000) + "]",
    "{" + ",".join(f'"{i}":0' for i in range(5000)) + "}",
    '{"' + "9" * 5000 + '":1}',
    DEEP,
    '{"a":' + DEEP + "}",
    DEEPER,
]

#: Places inside of fields, with `@` for the value.
PLACES = [
    '"messages": [@]',
    '"messages": [{"role": @, "content": "hi"}]',
    '"messages": [{"role": "user", "content": [@]}]',
    '"messages": [{"role": "user", "content": [{"type": @, "text": "hi"}]}]',
    '"messages": [{"role": "user", "content": [{"type": "text", "text": @}]}]',
    '"messages": [{"role": "user", "content": "hi", "name": @}]',
    '"messages": [{"role": "user", "content": "hi", "reasoning": @}]',
    '"messages": [{"role": "user", "content": "hi", "reasoning_content": @}]',
    '"messages": [{"role": "user", "content": "hi", "tool_calls": @}]',
    '"messages": [{"role": "user", "content": "hi", "tool_call_id": @}]',
    '"messages": [{"role": "user", "content": "hi", "tool_calls": [{"id": @, "function": {"name": "f"}}]}]',
    '"messages": [{"role": "user", "content": "hi", "tool_calls": [{"id": "c", "function": @}]}]',
    '"messages": [{"role": "user", "content": "hi", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": @}}]}]',
    '"mods": [@]',
    '"mods": [{"name": @}]',
    '"mods": [{"name": "greeting", "params": @}]',
    '"mods": [{"name": "greeting", "params": {"text": @}}]',
    '"mods": [{"name": "replace", "params": {"find": @, "replacement": "x"}}]',
    '"mods": [{"name": "avoid", "params": {"words": [@]}}]',
    '"mods": [{"name": "stop_after_sentences", "params": {"count": @}}]',
    '"logit_bias": {"1": @}',
    '"stop": ["x", @]',
    '"stream_options": {"include_usage": @}',
    '"stream_options": {"include_retractions": @}, "logprobs": true',
    '"model": "fake/greeting", "tools": [@]',
    '"model": "fake/greeting", "tools": [{"type": "function", "function": @}]',
    '"model": "fake/greeting", "tools": [{"type": "function", "function": {"name": @}}]',
    '"model": "fake/greeting", "tools": [{"type": "function", "function": {"name": "f", "parameters": @}}]',
    '"model": "fake/json_schema", "response_format": @',
    '"model": "fake/json_schema", "response_format": {"type": @}',
    '"model": "fake/json_schema", "response_format": {"type": "json_object", "schema": @}',
    '"model": "fake/json_schema", "response_format": {"type": "json_schema", "json_schema": @}',
    '"model": "fake/json_schema", "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": @}}',
    '"chat_template_kwargs": {"enable_thinking": @}',
    '"chat_template_kwargs": {"messages": @}',
]


def check(response, caplog, *, param=None):
    """Not a 5xx, no traceback, and an error in OpenAI's shape that names the field."""
    assert response.status_code < 500, response.text
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    if response.status_code < 400:
        return
    error = response.json()["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    assert error["message"]
    assert len(response.content) < 5000
    if param and not error["message"].startswith("the body is"):  # not JSON, or nested too deeply
        assert (error["param"] or "").startswith(param), (error, param)


def body_of(place, value):
    fields = [f for f in ASK.split(", ", 1) if f.partition(":")[0] != place.partition(":")[0]]
    return "{" + ", ".join([*fields, place.replace("@", value)]) + "}"


@pytest.mark.parametrize("field", ChatCompletionRequest.__struct_fields__)
def test_no_value_of_a_field_causes_a_server_error(serve, caplog, field):
    client = serve()
    for value in VALUES:
        body = body_of(f'"{field}": @', value)
        param = "" if field == "resume_from" else field  # it excludes `messages`
        check(client.post(URL, content=body.encode(), headers=JSON), caplog, param=param)


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_a_field_that_is_not_supported_is_refused_by_its_name(serve, caplog, field):
    client = serve()
    for value in (
        '{"a":{"b":[1]}}',
        '"ask"',
        DEEP,
        '"' + "x" * 300_000 + '"',
        '"\\udc00"',
        "1e999",
    ):
        body = body_of(f'"{field}": @', value)
        response = client.post(URL, content=body.encode(), headers=JSON)
        check(response, caplog, param=field)
        assert response.status_code == 400


@pytest.mark.parametrize("place", PLACES)
def test_no_value_within_a_field_causes_a_server_error(serve, caplog, place):
    client = serve()
    param = place.removeprefix('"model": "fake/greeting", ').removeprefix(
        '"model": "fake/json_schema", '
    )
    param = param.split('"')[1] if "logprobs" not in place else ""
    for value in VALUES:
        response = client.post(URL, content=body_of(place, value).encode(), headers=JSON)
        # the mods of a request may refuse it too
        check(response, caplog, param=param if response.status_code != 404 else "mods")


@pytest.mark.parametrize("field", sorted(MESSAGE_FIELDS))
def test_a_field_of_a_message_that_is_not_supported_is_refused_by_its_name(serve, caplog, field):
    place = f'"messages": [{{"role": "user", "content": "hi", "{field}": @}}]'
    response = serve().post(URL, content=body_of(place, '{"a": 1}').encode(), headers=JSON)

    check(response, caplog)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == f"messages[0].{field}"


@pytest.mark.parametrize("field", ["name", "entrypoint", "module", "source", "files", "language"])
def test_no_value_of_an_upload_causes_a_server_error(serve, caplog, field):
    client = serve()
    whole = {"name": "m", "entrypoint": "say", "module": "m", "language": "python", "source": "1"}
    rest = json.dumps({name: value for name, value in whole.items() if name != field})[:-1]
    for value in [*VALUES, '{"m.py": ' + '"' + "(" * 50_000 + '"}', '"' + "-" * 50_000 + 'x"']:
        check(
            client.post("/v1/mods", content=f'{rest}, "{field}": {value}}}', headers=JSON), caplog
        )


BODIES = [
    b"",
    b" ",
    b"\xef\xbb\xbf{" + ASK.encode() + b"}",
    ("{" + ASK + "}").encode("utf-16"),
    ("{" + ASK + "}").encode("utf-32"),
    ("{" + ASK.replace("hi", "\u00e9") + "}").encode("latin-1"),
    b"{" + ASK.encode().replace(b"hi", b"\xed\xa0\x80") + b"}",
    b"{" + ASK.encode() + b', "\xff": 1}',
    b"{" + ASK.encode() + b"}{}",
    b"{" + ASK.encode()[:-5],
    b"[" + b"{" + ASK.encode() + b"}]",
    b"\x00" * 1000,
    b'"' * 100_001,
    b"[" * 4_000_000,
    b'{"a":' * 700_000,
    b'{"x":' + b"[" * 4_000_000,
    gzip.compress(b"{" + ASK.encode() + b"}"),
]


@pytest.mark.parametrize("raw", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("path", [URL, "/v1/mods"])
def test_no_body_causes_a_server_error(serve, caplog, raw, path):
    check(serve().post(path, content=raw, headers=JSON), caplog)


HEADERS = [
    (name, value)
    for name in ("host", "origin", "content-type", "content-encoding", "authorization", "accept")
    for value in (
        b"",
        b" ",
        b"[::1",
        b"http://[",
        b"localhost:99999999",
        b"localhost:x",
        b"\xff\xfe",
        b"a" * 60_000,
        b"user@localhost",
        b"application/json; charset=utf-16",
        b"gzip, br",
        b"Bearer ",
        b"null",
        b"//",
    )
]


@pytest.mark.parametrize(("name", "value"), HEADERS, ids=range(len(HEADERS)))
def test_no_header_causes_a_server_error(serve, caplog, name, value):
    client = serve()
    for method, path in (("POST", URL), ("GET", "/v1/models"), ("DELETE", "/v1/mods/x")):
        headers = [(b"content-type", b"application/json"), (name.encode(), value)]
        headers = headers if name != "content-type" else headers[1:]
        content = ("{" + ASK + "}").encode() if method == "POST" else None
        check(client.request(method, path, content=content, headers=headers), caplog)


PATHS = [
    "/", "//", "/v1", "/v1/", "/v1/chat/completions/", "/v1/models/", "/v1/models/%00", "/v1/models/%ff",
    "/v1/models/" + "a" * 5000, "/v1/models/" + "%2e%2e/" * 50, "/v1/mods/", "/v1/mods/%0a", "/v1/mods/a/b",
    "/v1/mods/" + "+" * 5000, "/healthz/", "/healthz?x=" + "y" * 5000, "/v1/models?%ff", "/v1/mods/%f0%9f%98%80",
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]


def test_no_method_or_path_causes_a_server_error(serve, caplog):
    client = serve()
    for method, path in itertools.product(METHODS, [*PATHS, URL, "/v1/mods", "/healthz"]):
        response = client.request(method, path, headers=JSON, follow_redirects=False)
        assert response.status_code < 500, (method, path)
        assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
        if response.status_code >= 400 and method != "HEAD":
            assert response.json()["error"]["message"], (method, path)


def test_a_content_encoding_is_415_and_named(serve):
    raw = gzip.compress(b"{" + ASK.encode() + b"}")
    response = serve().post(URL, content=raw, headers={**JSON, "content-encoding": "gzip"})

    assert response.status_code == 415
    assert "gzip" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "raised", ["KeyboardInterrupt", "SystemExit", "GeneratorExit", "BaseException"]
)
def test_an_upload_that_raises_any_exception_is_422(serve, caplog, raised):
    source = f"raise {raised}('stop')"
    upload = {"name": "m", "entrypoint": "say", "source": source}
    response = serve().post("/v1/mods", json=upload)

    check(response, caplog)
    assert response.status_code == 422
    assert raised in response.json()["error"]["message"]


def test_an_upload_that_never_ends_exceeds_its_time_limit(serve, caplog):
    with limited(load_s=0.3) as sandbox:
        upload = {"name": "m", "entrypoint": "say", "source": "while True: pass"}
        response = serve(mods=ModCatalog(sandbox=sandbox)).post("/v1/mods", json=upload)

    check(response, caplog)
    assert response.status_code == 422
    assert "0.3 s" in response.json()["error"]["message"]


#: What an author may write of a parameter, and JSON has not.
PARAMETERS = [
    "x: int = object()",
    "x: float = float('nan')",
    "x: bytes = b'a'",
    "x: typing.Any = lambda: 1",
    "x: list = [object()]",
    "x: dict = {1: object()}",
    "x: str = '\\ud800'",
    "x: int = 10**400",
    "x: typing.Any = (lambda l: (l.append(l), l)[1])([])",
    "x: typing.Annotated[str, msgspec.Meta(description='\\ud800')] = 'a'",
]


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_no_upload_breaks_the_list_of_mods(serve, caplog, parameter):
    source = f"""
import typing, msgspec
from concordance_sdk import mod

@mod
class say:
    {parameter}
    def forward_pass(self, event, actions): ...
"""
    client = serve()
    upload = {"name": "odd", "entrypoint": "say", "source": source}
    uploaded = client.post("/v1/mods", json=upload)

    check(uploaded, caplog)
    assert uploaded.status_code == 201, uploaded.text
    assert "x" in json.dumps(uploaded.json()["parameters"])
    for path in ("/v1/mods", "/v1/mods/odd", "/v1/models"):
        assert client.get(path).status_code == 200
        assert "odd" in client.get(path).text


def test_no_docstring_breaks_the_list_of_mods(serve, caplog):
    source = "def say(event, actions):\n    'Half a character: \\ud800.'"
    client = serve()
    response = client.post("/v1/mods", json={"name": "odd", "entrypoint": "say", "source": source})

    check(response, caplog)
    assert response.status_code == 201
    assert "Half a character" in client.get("/v1/mods").text


# Fields that reach the engine


def submitted(serve, **fields):
    client, engine = serve(), None
    engine = client.app.state.context.models.named(None).engine
    response = client.post(URL, json={**json.loads("{" + ASK + "}"), **fields})
    assert response.status_code == 200, response.text
    return engine.requests[0], client.app.state.context.models.named(None).chat


def test_every_field_except_model_and_messages_can_be_null(serve):
    names = {*ChatCompletionRequest.__struct_fields__, *FIELDS} - {"model", "messages"}
    message = {"role": "user", "content": "hi", **dict.fromkeys(MESSAGE_FIELDS)}
    request, _ = submitted(serve, **dict.fromkeys(names), messages=[message])

    assert request.mods == ()


def test_null_within_fields_is_the_default(serve):
    request, _ = submitted(
        serve,
        mods=[{"name": "greeting", "params": None}],
        stream_options={"include_usage": None, "include_retractions": None},
        response_format={"type": "text", "json_schema": None},
    )

    assert request.mods[0].name == "greeting"


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
def test_a_schema_next_to_the_type_is_accepted(serve, kind):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    response_format = {"type": kind, "schema": schema}
    request, _ = submitted(serve, model="fake/json_schema", response_format=response_format)
    chosen = request.conversation.schemas.response_format

    assert (chosen.type, chosen.json_schema.schema) == ("json_schema", schema)


@pytest.mark.parametrize(
    ("response_format", "param"),
    [
        ({"type": "json_schema"}, "response_format.json_schema"),
        (
            {"type": "json_schema", "json_schema": {"name": "x"}},
            "response_format.json_schema.schema",
        ),
        ({"type": "json_object", "json_schema": {"name": "x"}}, "response_format.json_schema"),
        ({"type": "text", "schema": {}}, "response_format.schema"),
        ({"type": "json_object", "pattern": "a"}, "response_format"),
        ({"type": "regex"}, "response_format.type"),
    ],
)
def test_a_response_format_that_would_be_ignored_is_refused(serve, response_format, param):
    body = {"model": "fake/json_schema", "messages": [{"role": "user", "content": "hi"}]}
    response = serve().post(URL, json={**body, "response_format": response_format})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_chat_template_kwargs_reach_the_template(serve):
    _, chat = submitted(serve, chat_template_kwargs={"enable_thinking": False})

    assert chat.rendered == [{"enable_thinking": False}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"chat_template_kwargs": {"custom": 1}}, "chat_template_kwargs.custom"),
        ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs.tokenize"),
    ],
)
def test_an_option_that_the_template_does_not_read_is_refused(serve, fields, param):
    body = {"model": "fake", "messages": [{"role": "user", "content": "hi"}], **fields}
    response = serve().post(URL, json=body)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_reasoning_is_accepted_under_either_name(serve):
    messages = [{"role": "assistant", "content": "a", "reasoning": "why"}]
    request, _ = submitted(serve, messages=messages)

    assert request.conversation.messages[0].reasoning_content == "why"


def test_a_temperature_too_small_to_divide_by_is_greedy(serve):
    for temperature in (1e-38, 5e-324, 1e-6):
        assert submitted(serve, temperature=temperature)[0].sampling.temperature == 0
    assert submitted(serve, temperature=1e-4)[0].sampling.temperature == 1e-4


def test_top_k_of_minus_one_keeps_all_tokens(serve):
    assert submitted(serve, top_k=-1)[0].sampling.top_k == 0


def test_cache_salt_reaches_the_engine(serve):
    assert submitted(serve, cache_salt="tenant")[0].cache_salt == "tenant"


def test_an_empty_prompt_is_refused_with_param_messages(serve):
    body = {"model": "fake", "messages": [{"role": "user", "content": ""}]}
    response = serve().post(URL, json=body)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages"


def test_too_many_requests_are_not_an_error_of_the_server(serve, caplog):
    from concordance_shared import EngineOverloadedError, EngineStoppedError

    body = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
    assert (
        serve(FakeEngine([EngineOverloadedError("full")])).post(URL, json=body).status_code == 429
    )
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert serve(FakeEngine([EngineStoppedError("gone")])).post(URL, json=body).status_code == 503
    assert [r for r in caplog.records if r.levelno >= logging.ERROR]


def test_a_server_at_another_loopback_address_answers_there(serve):
    from concordance_inference.server.app import create_app
    from starlette.testclient import TestClient

    context = msgspec.structs.replace(serve().app.state.context, hosts=frozenset({"127.0.0.2"}))
    client = TestClient(create_app(context), base_url="http://127.0.0.2:8000")

    assert client.get("/healthz").status_code == 200
    assert client.get("/healthz", headers={"host": "127.0.0.3"}).status_code == 403


def asking_for(schema):
    return {
        "model": "fake/json_schema",
        "messages": [{"role": "user", "content": "hi"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": schema},
        },
    }


class PreparingEngine(FakeEngine):
    """Makes the instances of mods, as the engine does."""

    def prepare(self, request):
        traits = SimpleNamespace(tokenizer=ByteTokenizer())
        return structs.replace(request, instances=make_instances_within(10, request, traits))


def test_a_schema_that_cannot_be_enforced_is_refused_with_its_path(serve, caplog):
    engine = PreparingEngine()
    schema = {"properties": {"a": {"type": "int"}}}
    response = serve(engine).post(URL, json=asking_for(schema))

    check(response, caplog, param="response_format.json_schema.schema")
    assert response.status_code == 400
    assert engine.requests == []


def test_compiling_a_schema_does_not_block_other_requests(serve, monkeypatch):
    compiling, is_over = threading.Semaphore(0), threading.Event()

    def compile_slowly(schema, *, any_space):
        compiling.release()
        assert is_over.wait(10)
        return JsonSchema(schema, any_space=any_space)

    monkeypatch.setattr(json_schema, "JsonSchema", compile_slowly)
    with serve(PreparingEngine()) as client, ThreadPoolExecutor(8) as others:
        slow = [
            others.submit(client.post, URL, json=asking_for({"title": str(i)})) for i in range(6)
        ]
        assert compiling.acquire(timeout=10)
        plain = client.post(URL, json=json.loads("{" + ASK + "}"))
        is_over.set()

    assert plain.status_code == 200
    assert {response.result().status_code for response in slow} <= {200, 400}


WIDE = "[" + "[]," * 600_000 + "0]"
PART = '{"type": "text", "text": "a"}'


@pytest.mark.parametrize(
    "body",
    [
        f'{{{ASK}, "chat_template_kwargs": {{"a": {WIDE}}}, "chat_template_kwargs": {{}}}}',
        f'{{{ASK}, "tools": {WIDE}, "tools": []}}',
        f'{{{ASK}, "x": {WIDE}}}',
        f'{{"messages": {WIDE}, {ASK}}}',
        f'{{"model": "fake", "messages": [{{"role": "user", "content": [{PART}], "content": "hi"}}]}}',
        f'{{"model": "fake", "messages": [{{"role": "user", "tool_calls": {WIDE}, "tool_calls": [], "content": "hi"}}]}}',
    ],
)
def test_only_the_last_of_a_repeated_field_is_decoded(serve, body):
    engine = FakeEngine()
    response = serve(engine).post(URL, content=body.encode(), headers=JSON)

    assert response.status_code == 200, response.text
    assert engine.requests[0].conversation.messages[0].content == "hi"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (f'{{"model": "fake", "messages": {WIDE}}}', "messages"),
        (
            f'{{"model": "fake", "messages": [{{"role": "user", "content": {WIDE}}}]}}',
            "messages[0].content",
        ),
        (
            f'{{"model": "fake", "messages": [{{"role": "user", "content": "", "tool_calls": {WIDE}}}]}}',
            "messages[0].tool_calls",
        ),
    ],
)
def test_too_many_entries_are_refused_before_they_are_decoded(serve, caplog, body, param):
    response = serve().post(URL, content=body.encode(), headers=JSON)

    check(response, caplog)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert "more than" in response.json()["error"]["message"]
