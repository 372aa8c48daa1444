"""`POST /v1/completions`, over an engine with scripted updates."""

import json

import pytest
from concordance_inference.generation import (
    Failed,
    ReportsDelta,
    Started,
    TextDelta,
    TokenLogprobs,
)
from concordance_sdk import FinishReason
from concordance_shared import EngineOverloadedError, InvalidActionError, ModReport
from fake_engine import FakeEngine, completed, says
from openai import OpenAI

ASK = {"model": "fake", "prompt": "hi"}


SURROGATE = b'{"model": "fake", "prompt": ["a", "\\ud800"]}'


def entry(token_id, logprob=-0.5, top=()):
    return TokenLogprobs(token_id=token_id, logprob=logprob, top=top)


PROMPT = {"prompt_ids": (1, 104, 105), "prompt_logprobs": (None, entry(104), entry(105, -1.5))}
TOP = ((89, -0.25), (33, -0.5))
ENDED = {
    "token_ids": (33, 256),
    "forced_by": ("greeting", None),
    "logprobs": (entry(33, -0.5, TOP), entry(256, -2.0, TOP)),
    **PROMPT,
}


def post(client, **fields):
    return client.post("/v1/completions", json={**ASK, **fields})


def events(response):
    lines = [line for line in response.text.split("\n\n") if line and not line.startswith(":")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def stream(client, **fields):
    return events(post(client, stream=True, **fields))


def submitted(serve, **fields):
    engine = FakeEngine()
    response = post(serve(engine), **fields)
    assert response.status_code == 200, response.text
    return engine.requests


# Responses without a stream


def test_a_completion_has_openais_shape(client):
    body = post(client).json()

    assert body["object"] == "text_completion"
    assert body["id"].startswith("cmpl-")
    assert isinstance(body["created"], int)
    assert body["choices"] == [
        {"index": 0, "text": "Hello", "logprobs": None, "finish_reason": "stop"}
    ]
    assert body["usage"]["total_tokens"] == 8
    assert "concordance" not in body["choices"][0]


@pytest.mark.parametrize(
    ("prompt", "ids"),
    [
        ("hi", [(1, 104, 105)]),
        (["hi", "yo"], [(1, 104, 105), (1, 121, 111)]),
        ([7, 8], [(7, 8)]),
        ([[7, 8], [9]], [(7, 8), (9,)]),
        (["hi", [9]], [(1, 104, 105), (9,)]),
    ],
)
def test_prompts_are_texts_or_token_ids_one_or_several(serve, prompt, ids):
    engine = FakeEngine()
    body = post(serve(engine), prompt=prompt).json()

    assert [request.prompt_ids for request in engine.requests] == ids
    assert [choice["index"] for choice in body["choices"]] == list(range(len(ids)))
    assert body["usage"]["prompt_tokens"] == 3 * len(ids)


def test_special_tokens_can_be_left_out(serve):
    (request,) = submitted(serve, add_special_tokens=False)

    assert request.prompt_ids == (104, 105)


def test_fields_reach_the_engine(serve):
    (request,) = submitted(
        serve,
        max_tokens=0,
        temperature=0,
        seed=3,
        stop=["a"],
        min_tokens=0,
        mods=["greeting"],
        user="me",
        n=1,
        best_of=1,
        suffix=None,
    )

    assert (request.max_tokens, request.stop, request.sampling.seed) == (0, ("a",), 3)
    assert [call.name for call in request.mods] == ["greeting"]
    assert (request.top_logprobs, request.prompt_logprobs) == (None, None)


def test_max_tokens_is_16_by_default_as_in_openais_api(serve):
    assert submitted(serve)[0].max_tokens == submitted(serve, max_tokens=None)[0].max_tokens == 16


def test_logprobs_are_parallel_lists_with_one_entry_a_token_and_the_token_among_the_top(serve):
    engine = FakeEngine([completed("!", **ENDED)])
    body = post(serve(engine), logprobs=2).json()

    assert (engine.requests[0].top_logprobs, engine.requests[0].prompt_logprobs) == (2, None)
    assert body["choices"][0]["logprobs"] == {
        "tokens": ["!", "\0"],
        "token_logprobs": [-0.5, -2.0],
        "top_logprobs": [{"Y": -0.25, "!": -0.5}, {"Y": -0.25, "!": -0.5, "\0": -2.0}],
        "text_offset": [0, 1],
    }
    assert not {"token_ids", "prompt_token_ids"} & set(body["choices"][0])


def test_echo_repeats_the_prompt_and_its_logprobs_before_the_completion(serve):
    engine = FakeEngine([completed("!", **ENDED)])
    (choice,) = post(serve(engine), logprobs=0, echo=True, max_tokens=1).json()["choices"]

    assert engine.requests[0].prompt_logprobs == 0
    assert choice["text"] == "hi!"
    assert choice["logprobs"]["tokens"] == ["\x01", "h", "i", "!", "\0"]
    assert choice["logprobs"]["token_logprobs"] == [None, -0.5, -1.5, -0.5, -2.0]
    assert choice["logprobs"]["top_logprobs"][:2] == [None, {"h": -0.5}]
    assert choice["logprobs"]["text_offset"] == [0, 0, 1, 2, 3]


def test_echo_of_token_ids_decodes_them(serve):
    end = completed("", **{**ENDED, "token_ids": (), "forced_by": (), "logprobs": ()})
    (choice,) = post(serve(FakeEngine([end])), prompt=[1, 104, 105], echo=True).json()["choices"]

    assert (choice["text"], choice["logprobs"]) == ("\x01hi", None)


def test_token_ids_name_the_mods_that_forced_them(serve):
    engine = FakeEngine([completed("!", **ENDED)])
    (choice,) = post(serve(engine), return_token_ids=True).json()["choices"]

    assert choice["prompt_token_ids"] == [1, 104, 105]
    assert (choice["token_ids"], choice["forced_by"]) == ([33, 256], ["greeting", None])


def test_each_choice_has_what_mods_did(serve):
    end = completed("!", reports=(ModReport(mod="greeting", step=1, data={"a": 1}),))
    (choice,) = post(serve(FakeEngine([end])), model="fake/greeting").json()["choices"]

    assert choice["concordance"]["forced_tokens"] == 0
    assert choice["concordance"]["reports"] == [{"mod": "greeting", "step": 1, "data": {"a": 1}}]


def test_an_error_of_one_prompt_is_that_of_the_request_and_cancels_the_others(serve):
    engine = FakeEngine([Failed(error=InvalidActionError("no", event="Added", step=1, mod="m"))])
    response = post(serve(engine), prompt=["a", "b"])

    assert (response.status_code, response.json()["error"]["mod"]) == (422, "m")


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_full_queue_is_429(serve, is_stream):
    engine = FakeEngine([EngineOverloadedError("full")])

    assert post(serve(engine), prompt=["a", "b"], stream=is_stream).status_code == 429


# Streams


def test_a_stream_has_text_then_the_reason_then_the_usage(client):
    chunks = stream(client, stream_options={"include_usage": True})

    assert [c["choices"][0]["text"] for c in chunks[:-1]] == ["Hel", "lo", ""]
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]] == [None, None, "stop"]
    assert {c["object"] for c in chunks} == {"text_completion"}
    assert len({c["id"] for c in chunks}) == 1
    assert [c["usage"] for c in chunks[:-1]] == [None] * 3
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], 8)
    assert all("usage" not in chunk for chunk in stream(client))


def test_chunks_of_several_prompts_have_the_index_of_their_prompt(client):
    chunks = stream(client, prompt=["a", "b", "c"], stream_options={"include_usage": True})
    texts = ["", "", ""]
    for chunk in chunks[:-1]:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]

    assert texts == ["Hello"] * 3
    assert chunks[-1]["usage"]["completion_tokens"] == 15


def test_a_stream_with_echo_and_logprobs_adds_up_to_the_response_without_one(serve):
    updates = [
        Started(prompt_tokens=3, **PROMPT),
        TextDelta(
            text="!", token_ids=(33,), forced_by=("greeting",), logprobs=ENDED["logprobs"][:1]
        ),
        ReportsDelta(reports=(ModReport(mod="greeting", step=1, data={}),)),
        completed("!", **ENDED),
    ]
    fields = {"logprobs": 2, "echo": True, "return_token_ids": True}
    (whole,) = post(serve(FakeEngine(updates)), **fields).json()["choices"]
    parts = [chunk["choices"][0] for chunk in stream(serve(FakeEngine(updates)), **fields)]

    assert "".join(part["text"] for part in parts) == whole["text"]
    assert [i for part in parts for i in part.get("token_ids", [])] == whole["token_ids"]
    for name in whole["logprobs"]:
        joined = [x for part in parts for x in (part["logprobs"] or {name: ()})[name]]
        assert joined == whole["logprobs"][name]


def test_a_stream_without_a_completion_has_the_prompt(serve):
    end = completed("", **{**ENDED, "token_ids": (), "forced_by": (), "logprobs": ()})
    parts = stream(serve(FakeEngine([end])), echo=True, logprobs=1, max_tokens=0)
    texts = [part["choices"][0]["text"] for part in parts]

    assert texts == ["hi", ""]
    assert parts[0]["choices"][0]["logprobs"]["token_logprobs"] == [None, -0.5, -1.5]


def test_a_failure_in_a_stream_is_an_event_and_the_last_one(serve):
    error = InvalidActionError("no", event="Added", step=1, mod="m")
    engine = FakeEngine([Started(prompt_tokens=3), TextDelta(text="H"), Failed(error=error)])
    chunks = stream(serve(engine), prompt=["a", "b"])

    assert [chunk for chunk in chunks if "error" in chunk] == [chunks[-1]]
    assert chunks[-1]["error"]["mod"] == "m"


# Wrong fields


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"prompt": None}, "prompt", "expected `str"),
        ({"prompt": []}, "prompt", "a list of texts"),
        ({"prompt": ["a", 1]}, "prompt", "a list of texts"),
        ({"prompt": [[1, "a"]]}, "prompt[0][1]", "expected `int"),
        ({"prompt": [1, -1]}, "prompt[1]", ">= 0"),
        ({"prompt": [1, 257]}, "prompt[1]", "one of this model's 257 tokens"),
        ({"prompt": ["a", [1, 257]]}, "prompt[1][1]", "one of this model's 257 tokens"),
        ({"prompt": ["a", []]}, "prompt[1]", "it is empty"),
        ({"prompt": ["a", "x" * 100]}, "prompt[1]", "shorten it"),
        ({"prompt": ["a"] * 129}, "prompt", "the limit is 128"),
        ({"logprobs": 6}, "logprobs", "<= 5"),
        ({"logprobs": True}, "logprobs", "expected `int"),
        ({"echo": "yes"}, "echo", "expected `bool"),
        ({"max_tokens": -1}, "max_tokens", ">= 0"),
        ({"min_tokens": 17}, "min_tokens", "max_tokens, which is 16"),
        ({"n": 0}, "n", ">= 1"),
        ({"n": 2, "best_of": 1}, "best_of", "less than n"),
        ({"suffix": "x"}, "suffix", "not supported"),
        ({"messages": []}, "messages", "not supported"),
        ({"tools": [{}]}, "tools", "not supported"),
        ({"top_logprobs": 3}, "top_logprobs", "not supported"),
        ({"prompts": "a"}, "prompts", "did you mean"),
        ({"mods": "greeting"}, "mods", "write mods as"),
        (
            {"logprobs": 1, "stream": True, "stream_options": {"include_retractions": True}},
            "logprobs",
            "include_retractions",
        ),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(client, fields, param, words):
    response = post(client, **fields)
    error = response.json()["error"]

    assert (response.status_code, error["param"]) == (400, param), error
    assert words in error["message"]


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"model": "fake"}', b"\xff", b"[" * 9999, SURROGATE])
def test_no_body_causes_a_server_error(client, raw):
    headers = {"content-type": "application/json"}

    assert client.post("/v1/completions", content=raw, headers=headers).status_code == 400


def test_another_model_is_404(client):
    assert post(client, model="other").status_code == 404


# The official client


def test_the_official_client_reads_a_response_and_a_stream(serve):
    http = serve(FakeEngine(says("Hel", "lo", finish_reason=FinishReason.LENGTH)))
    client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="x", http_client=http)
    whole = client.completions.create(model="fake", prompt=["a", "b"])
    parts = list(client.completions.create(model="fake", prompt="a", stream=True))

    assert [choice.text for choice in whole.choices] == ["Hello", "Hello"]
    assert whole.choices[0].finish_reason == "length"
    assert "".join(part.choices[0].text for part in parts) == "Hello"
