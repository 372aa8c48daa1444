"""`POST /v1/chat/completions`, over an engine with scripted updates."""

import json
import math

import msgspec
import pytest
from concordance_inference.generation import (
    Failed,
    LogprobsDelta,
    ReportsDelta,
    SamplingDefaults,
    SamplingParams,
    Started,
    TextDelta,
    Token,
    TokenLogprobs,
    TokensDelta,
)
from concordance_inference.server import updates
from concordance_inference.server.limits import Limits
from concordance_inference.server.transport import sse
from concordance_sdk import FinishReason
from concordance_shared import (
    EngineOverloadedError,
    FunctionCall,
    InvalidActionError,
    ModReport,
    ToolCall,
)
from fake_engine import INFO, FakeEngine, completed, says
from openai import APIStatusError, OpenAI

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
CALL = ToolCall(id="call_1", function=FunctionCall("look_up", '{"a":1}'))


def post(client, **fields):
    return client.post("/v1/chat/completions", json={**ASK, **fields})


def events(response):
    """The data of a stream's events; the last one must be [DONE]."""
    lines = [line for line in response.text.split("\n\n") if line and not line.startswith(":")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def stream(client, **fields):
    return events(post(client, stream=True, **fields))


# Responses without a stream


def test_a_completion_has_openais_shape(client):
    body = post(client).json()

    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert body["model"] == "fake"
    assert isinstance(body["created"], int)
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]


def test_usage_sums_prompt_and_completion_tokens(client):
    usage = post(client).json()["usage"]

    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"] == 8
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.LENGTH])
def test_the_finish_reason_is_returned(serve, reason):
    client = serve(FakeEngine(says("Hello", finish_reason=reason)))

    assert post(client).json()["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize(("text", "content"), [("", None), ("So: ", "So: ")])
def test_tool_calls_are_part_of_the_message(serve, text, content):
    end = completed(text, finish_reason=FinishReason.TOOL_CALLS, tool_calls=(CALL,))
    choice = post(serve(FakeEngine([end]))).json()["choices"][0]

    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == content
    assert choice["message"]["tool_calls"] == [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "look_up", "arguments": '{"a":1}'},
        }
    ]


def test_empty_content_is_an_empty_string(serve):
    client = serve(FakeEngine([completed("")]))

    assert post(client).json()["choices"][0]["message"]["content"] == ""


def test_forced_and_backtracked_tokens_are_counted_for_requests_with_mods(serve):
    client = serve(FakeEngine([completed("Hello", forced_tokens=2, backtracked_tokens=1)]))
    body = post(client, model="fake/greeting").json()

    assert body["concordance"] == {"forced_tokens": 2, "backtracked_tokens": 1}
    assert body["model"] == "fake/greeting"


# Reports of mods

REPORTS = (
    ModReport(mod="judge", step=0, data={"verdict": "no"}),
    ModReport(mod="judge", step=5, data={"p": [0.5]}),
)
AS_JSON = [
    {"mod": "judge", "step": 0, "data": {"verdict": "no"}},
    {"mod": "judge", "step": 5, "data": {"p": [0.5]}},
]


def reporting():
    """The updates of a stream with a report in its middle and one at its end."""
    return [
        Started(prompt_tokens=3),
        ReportsDelta(reports=REPORTS[:1]),
        TextDelta(text="Hello"),
        ReportsDelta(reports=REPORTS[1:]),
        completed("Hello", reports=REPORTS),
    ]


def failing():
    error = InvalidActionError("no", mod="m", event="Sampled", step=0)
    error.reports = REPORTS
    return Failed(error=error)


def through_openai(client, **fields):
    """Send a request by the official client."""
    api = OpenAI(base_url=f"{client.base_url}/v1", api_key="k", http_client=client, max_retries=0)
    return api.chat.completions.create(**{**ASK, "model": "fake/greeting", **fields})


def test_reports_are_in_the_response(serve):
    body = post(serve(FakeEngine(reporting())), model="fake/greeting").json()

    assert body["concordance"]["reports"] == AS_JSON


def test_response_without_reports_has_no_list_of_them(serve):
    body = post(serve(FakeEngine([completed("Hello")])), model="fake/greeting").json()

    assert "reports" not in body["concordance"]


def test_reports_are_chunks_of_a_stream_where_they_were_made(serve):
    chunks = stream(serve(FakeEngine(reporting())), model="fake/greeting")

    assert [(c["choices"][0]["delta"], c.get("concordance")) for c in chunks] == [
        ({"role": "assistant", "content": ""}, None),
        ({}, {"reports": AS_JSON[:1]}),
        ({"content": "Hello"}, None),
        ({}, {"reports": AS_JSON[1:]}),
        ({}, None),
    ]
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None] * 4 + ["stop"]


def test_openais_client_reads_reports(serve):
    whole = through_openai(serve(FakeEngine(reporting())))
    chunks = list(through_openai(serve(FakeEngine(reporting())), stream=True))

    assert whole.concordance["reports"] == AS_JSON
    about = [getattr(chunk, "concordance", {}) for chunk in chunks]
    assert [report for each in about for report in each.get("reports", [])] == AS_JSON
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello"


def test_openais_client_reads_the_reports_of_an_error(serve):
    for options in ({}, {"stream": True}):
        with pytest.raises(APIStatusError) as caught:
            through_openai(serve(FakeEngine([failing()])), **options)

        assert caught.value.status_code == 422
        assert caught.value.body["reports"] == AS_JSON


def test_error_in_a_stream_has_the_reports(serve):
    chunks = stream(serve(FakeEngine([Started(prompt_tokens=3), failing()])))

    assert chunks[-1]["error"]["reports"] == AS_JSON


# Streams


def test_a_stream_starts_with_the_role_and_ends_with_the_finish_reason(client):
    chunks = stream(client)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]

    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None, None, None, "stop"]


def test_all_chunks_have_one_id_and_one_time(client):
    chunks = stream(client)

    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
    assert all("usage" not in c for c in chunks)


def test_the_headers_of_a_stream(client):
    headers = post(client, stream=True).headers

    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"


def test_include_usage_adds_a_last_chunk_with_the_usage(client):
    chunks = stream(client, stream_options={"include_usage": True})

    assert all(c["usage"] is None for c in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 8


def test_tool_calls_in_a_stream_have_each_field_once(serve):
    end = completed("", finish_reason=FinishReason.TOOL_CALLS, tool_calls=(CALL,))
    chunks = stream(serve(FakeEngine([end])))
    deltas = [c["choices"][0]["delta"] for c in chunks]

    assert deltas == [
        {"role": "assistant", "content": None},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "look_up", "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_retracted_characters_are_counted_in_their_chunk(serve):
    engine = FakeEngine([TextDelta(text="ab"), TextDelta(text="c", retracted=1), completed("ac")])
    chunks = stream(serve(engine), stream_options={"include_retractions": True})

    assert [c.get("concordance") for c in chunks] == [None, None, {"retracted": 1}, None]
    assert engine.requests[0].include_retractions


def test_changes_of_tokens_are_chunks_without_text(serve):
    change = TokensDelta(
        kept=1,
        tokens=(Token(token_id=7, text="b", forced=True, mod="m"),),
        num_backtracked=1,
        mod="m",
    )
    engine = FakeEngine([change, TextDelta(text="ab"), completed("ab")])
    chunks = stream(serve(engine), stream_options={"include_tokens": True})

    assert chunks[1]["choices"][0]["delta"] == {}
    assert chunks[1]["concordance"] == {
        "tokens": {
            "kept": 1,
            "tokens": [{"token_id": 7, "text": "b", "forced": True, "mod": "m"}],
            "num_backtracked": 1,
            "mod": "m",
        }
    }
    assert engine.requests[0].show_tokens
    stream(serve(engine))
    assert not engine.requests[1].show_tokens


def test_logprobs_of_tokens_sent_as_they_happen_are_chunks_without_text(serve):
    entry = TokenLogprobs(token_id=98, logprob=-0.5, top=((98, -0.5), (97, -1.5)))
    engine = FakeEngine([LogprobsDelta(first=1, entries=(entry,)), completed("ab")])
    options = {"include_tokens": True, "include_retractions": True}
    chunks = stream(serve(engine), logprobs=True, top_logprobs=2, stream_options=options)

    sent = chunks[1]["concordance"]["logprobs"]
    assert sent["first"] == 1
    assert sent["content"][0]["logprob"] == -0.5
    assert [each["token"] for each in sent["content"][0]["top_logprobs"]] == ["b", "a"]
    assert chunks[1]["choices"][0]["delta"] == {}


def test_an_error_before_the_first_token_has_its_status(serve):
    error = InvalidActionError("no", mod="m", event="Sampled", step=0)
    response = post(serve(FakeEngine([Failed(error=error)])), stream=True)

    assert response.status_code == 422
    assert response.json()["error"]["mod"] == "m"


def test_an_error_after_the_first_token_is_an_event(serve):
    error = InvalidActionError("no", mod="m", event="Sampled", step=3)
    engine = FakeEngine([Started(prompt_tokens=3), TextDelta(text="a"), Failed(error=error)])
    response = post(serve(engine), stream=True)

    assert response.status_code == 200
    assert events(response)[-1]["error"]["message"] == "no"


def test_a_slow_prompt_starts_the_stream_and_keeps_it_alive(serve, monkeypatch):
    monkeypatch.setattr(updates, "PATIENCE_S", 0.01)
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.02)
    response = post(serve(FakeEngine([0.1, *says("Hello")])), stream=True)

    assert ": keep-alive\n\n" in response.text
    assert events(response)[1]["choices"][0]["delta"] == {"content": "Hello"}


def test_an_overloaded_engine_is_429_with_retry_after(serve):
    for fields in ({}, {"stream": True}):
        response = post(serve(FakeEngine([EngineOverloadedError("full")])), **fields)

        assert response.status_code == 429
        assert int(response.headers["retry-after"]) > 0
        assert response.json()["error"]["code"] == "rate_limit_exceeded"


# The engine's request


def submitted(serve, **fields):
    engine = FakeEngine()
    response = post(serve(engine), **fields)
    assert response.status_code == 200, response.text
    return engine.requests[0]


def test_default_request_options(serve):
    request = submitted(serve)

    assert request.prompt_ids == tuple(b"hi")
    assert request.max_tokens is None  # what the engine has room for
    assert request.top_logprobs is None
    assert (request.sampling.temperature, request.sampling.top_p, request.stop) == (1.0, 1.0, ())
    assert request.conversation.messages[0].text == "hi"


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 8}, 8),
        ({"max_tokens": 7, "max_completion_tokens": 8}, 8),
        ({"max_tokens": 10_000}, 10_000),
        ({"max_tokens": None}, None),
    ],
)
def test_max_tokens_and_max_completion_tokens(serve, fields, value):
    assert submitted(serve, **fields).max_tokens == value


def test_sampling_parameters_reach_the_engine(serve):
    fields = {
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 4,
        "min_p": 0.1,
        "xtc_probability": 0.5,
        "xtc_threshold": 0.2,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "seed": 9,
    }
    sampling = submitted(serve, **fields, logit_bias={"5": 1.5, "200": -100}).sampling

    assert {name: getattr(sampling, name) for name in fields} == fields
    assert sampling.logit_bias == {5: 1.5, 200: -100}


def test_null_sampling_parameters_are_the_defaults(serve):
    names = ("temperature", "top_p", "logit_bias", "presence_penalty", "seed", "logprobs")

    assert submitted(serve, **dict.fromkeys(names)).sampling == SamplingParams()


def entry(token_id, logprob, *top):
    return TokenLogprobs(token_id=token_id, logprob=logprob, top=top)


def test_logprobs_have_openais_shape(serve):
    entries = (entry(72, -0.5, (72, -0.5), (200, -1.5)), entry(105, -math.inf))
    client = serve(FakeEngine(says("Hi", logprobs=entries)))
    choice = post(client, logprobs=True, top_logprobs=2).json()["choices"][0]

    assert choice["logprobs"]["content"] == [
        {
            "token": "H",
            "logprob": -0.5,
            "bytes": [72],
            "top_logprobs": [
                {"token": "H", "logprob": -0.5, "bytes": [72]},
                {"token": "\ufffd", "logprob": -1.5, "bytes": [200]},
            ],
        },
        {"token": "i", "logprob": -9999.0, "bytes": [105], "top_logprobs": []},
    ]


def test_logprobs_in_a_stream_come_with_their_tokens(serve):
    deltas = [TextDelta(text="H", logprobs=(entry(72, -0.5),)), TextDelta(text="i")]
    chunks = stream(serve(FakeEngine([*deltas, completed("Hi")])), logprobs=True)
    logprobs = [chunk["choices"][0]["logprobs"] for chunk in chunks]

    assert [each and each["content"][0]["token"] for each in logprobs] == [None, "H", None, None]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 5}, 5),
        ({"top_logprobs": 0}, None),
    ],
)
def test_top_logprobs_reach_the_engine(serve, fields, wanted):
    assert submitted(serve, **fields).top_logprobs == wanted


def test_null_options_are_the_defaults(serve):
    sampling = submitted(serve, temperature=None, top_p=None, seed=None, stop=None).sampling

    assert (sampling.temperature, sampling.top_p, sampling.seed) == (1.0, 1.0, None)


@pytest.mark.parametrize(("stop", "strings"), [("a", ("a",)), (["a", "b"], ("a", "b")), ([], ())])
def test_stop_strings(serve, stop, strings):
    assert submitted(serve, stop=stop).stop == strings


def test_stop_tokens_min_tokens_and_ignore_eos_reach_the_engine(serve):
    request = submitted(serve, stop_token_ids=[7, 9], ignore_eos=True, min_tokens=3)
    default = submitted(serve, stop_token_ids=None, ignore_eos=None, min_tokens=None)

    assert (request.stop_token_ids, request.ignore_eos, request.min_tokens) == ((7, 9), True, 3)
    assert (default.stop_token_ids, default.ignore_eos, default.min_tokens) == ((), False, 0)


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"stop_token_ids": [7, 257]}, "stop_token_ids[1]", "one of this model's 257 tokens"),
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]", ">= 0"),
        ({"stop_token_ids": 7}, "stop_token_ids", "expected `array"),
        ({"stop_token_ids": [1] * 257}, "stop_token_ids", "length <= 256"),
        ({"min_tokens": 4, "max_tokens": 3}, "min_tokens", "lower it to at most 3"),
        ({"min_tokens": -1}, "min_tokens", ">= 0"),
        ({"ignore_eos": 1}, "ignore_eos", "expected `bool"),
    ],
)
def test_a_wrong_end_of_the_completion_is_refused_by_its_field(client, fields, param, words):
    response = post(client, **fields)
    error = response.json()["error"]

    assert (response.status_code, error["param"]) == (400, param)
    assert words in error["message"]


def test_mods_by_the_model_and_by_the_list(serve):
    request = submitted(
        serve,
        model="fake/greeting+stop_after_sentences",
        mods=[{"name": "replace", "params": {"find": "a", "replacement": "b"}}],
    )

    assert [call.name for call in request.mods] == ["greeting", "stop_after_sentences", "replace"]
    assert request.mods[2].parameters["find"] == "a"
    assert request.mods[2].parameters["replacement"] == "b"


def test_mods_without_parameters_may_be_named_by_text(serve):
    engine = FakeEngine()

    post(serve(engine), mods=["greeting", {"name": "stop_after_sentences"}])

    (request,) = engine.requests
    assert [call.name for call in request.mods] == ["greeting", "stop_after_sentences"]


@pytest.mark.parametrize(
    ("mods", "message"),
    [
        ("greeting", 'write mods as ["name"], or with parameters as [{"name": "name", "params":'),
        ({"name": "greeting"}, 'write mods as ["name"]'),
        ([["greeting"]], 'write mods as ["name"]'),
        ([{"name": "greeting", "parameters": {}}], "unknown field `parameters`; write mods as"),
        ([{"greeting": {}}], "write mods as"),
        (["greting"], "there is no mod 'greting'; did you mean 'greeting'? Known: "),
    ],
)
def test_mods_of_another_shape_say_how_to_write_them(client, mods, message):
    error = post(client, mods=mods).json()["error"]

    assert message in error["message"]
    assert error["param"].startswith("mods")


def test_mods_see_tools_and_formats(serve):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    schemas = submitted(
        serve,
        model="fake/greeting",
        tools=tools,
        tool_choice="auto",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
    ).conversation.schemas

    assert schemas.tools[0].function.name == "f"
    assert schemas.response_format.json_schema.name == "x"


def test_content_in_parts(serve):
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert submitted(serve, messages=[{"role": "user", "content": parts}]).prompt_ids == tuple(
        b"ab"
    )


def test_unknown_fields_and_harmless_values_are_ignored(serve):
    assert submitted(
        serve,
        user="u",
        metadata={"a": "b"},
        store=True,
        service_tier="auto",
        whatever=[1],
        n=1,
        logprobs=False,
        presence_penalty=0,
        frequency_penalty=0.0,
        logit_bias={},
        parallel_tool_calls=False,
        modalities=["text"],
        response_format={"type": "text"},
    )


# Sampling defaults


def test_a_field_that_is_left_out_or_null_has_the_models_default(serve):
    engine = FakeEngine()
    engine.model = msgspec.structs.replace(
        INFO, sampling=SamplingDefaults(temperature=0.6, top_k=20, repetition_penalty=1.1)
    )
    client = serve(engine)
    post(client, top_k=None, temperature=None, seed=1)
    post(client, temperature=0, top_k=-1, repetition_penalty=1)

    assert [request.sampling for request in engine.requests] == [
        SamplingParams(temperature=0.6, top_k=20, repetition_penalty=1.1, seed=1),
        SamplingParams(temperature=0.0),
    ]


# Bad requests


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"mods": [{"params": {}}]}, "mods[0].name"),
        ({"mods": [3]}, "mods[0]"),
        ({"mods": [{"name": "replace"}]}, "mods[0].params"),
        ({"mods": [{"name": "greeting", "needed": False}]}, "mods[0]"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"logprobs": 3}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        (
            {"logprobs": True, "stream": True, "stream_options": {"include_retractions": True}},
            "logprobs",
        ),
        ({"logit_bias": {"257": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias[...]"),
        ({"presence_penalty": 2.5}, "presence_penalty"),
        ({"frequency_penalty": -3}, "frequency_penalty"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"xtc_probability": 1.1}, "xtc_probability"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": None}]}]},
            "messages[0].content[0].text",
        ),
    ],
)
def test_an_invalid_field_is_refused_by_its_name_and_nothing_is_run(serve, fields, param):
    engine = FakeEngine()
    response = post(serve(engine), **fields)
    error = response.json()["error"]

    assert response.status_code == 400, response.text
    assert error["param"] == param
    assert error["message"]
    assert error["type"] == "invalid_request_error"
    assert engine.requests == []


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("nosuch", "model_not_found"),
        ("nosuch/greeting", "model_not_found"),
        ("", "model_not_found"),
        ("fake/", "mod_not_found"),
        ("fake/nosuch", "mod_not_found"),
        ("fake/greeting+nosuch", "mod_not_found"),
        ("fake/greeting+", "mod_not_found"),
    ],
)
def test_an_unknown_model_or_mod_is_404(client, model, code):
    response = post(client, model=model)

    assert response.status_code == 404
    assert response.json()["error"]["code"] == code


def test_a_prompt_that_leaves_no_room_has_openais_error_code(client):
    response = post(client, messages=[{"role": "user", "content": "too long"}])

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"nonsense", b'{"model": "fake"', b"\xff\xfe", b"[" * 100_000, b"3", b"null"]
)
def test_a_body_that_is_not_a_json_object_is_400(client, raw):
    headers = {"content-type": "application/json"}
    response = client.post("/v1/chat/completions", content=raw, headers=headers)

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_body_that_is_too_long_is_413(serve):
    raw = b'{"model": "fake", "messages": [{"role": "user", "content": "hi"}]}'
    client = serve(limits=Limits(body_bytes=len(raw)))
    headers = {"content-type": "application/json"}

    def status_of(raw):
        return client.post("/v1/chat/completions", content=raw, headers=headers).status_code

    assert (status_of(raw), status_of(raw + b" ")) == (200, 413)


def test_an_unexpected_exception_is_500_without_its_message(serve):
    response = post(serve(FakeEngine([RuntimeError("secret")])))

    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["error"]["type"] == "server_error"


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": "a\ud800"}]},
        {"messages": [{"role": "assistant", "content": "b", "reasoning_content": "\udc00"}]},
        {"mods": [{"name": "replace", "params": {"find": "\U0001f600\ud83d", "replacement": ""}}]},
    ],
)
def test_half_of_a_surrogate_pair_is_refused_by_its_name(client, fields):
    response = client.post(
        "/v1/chat/completions",
        content=json.dumps({**ASK, **fields}),
        headers={"Content-Type": "application/json"},
    )

    assert response.status_code == 400
    assert "half of a surrogate pair" in response.json()["error"]["message"]


def test_an_escaped_backslash_before_an_escape_is_no_surrogate(client):
    response = client.post("/v1/chat/completions", content=rb'{"model": "\\ud800", "messages": [}')

    assert "surrogate" not in response.text
