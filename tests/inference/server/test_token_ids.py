"""`return_token_ids` of chat completions: ids of the prompt and the completion, and origins."""

import json

import pytest
from concordance_inference.generation import Started, TextDelta, TokenLogprobs
from fake_engine import FakeEngine, completed, says

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}], "return_token_ids": True}
ORIGINS = {"token_ids": (7, 8, 9), "forced_by": (None, "greeting", None), "prompt_ids": (104, 105)}


def post(client, **fields):
    return client.post("/v1/chat/completions", json={**ASK, **fields})


def chunks(response):
    lines = [line for line in response.text.split("\n\n") if line and not line.startswith(":")]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def entry(token_id):
    return TokenLogprobs(token_id=token_id, logprob=-0.5, top=())


def test_a_response_has_the_ids_and_origins_of_all_tokens(serve):
    body = post(serve(FakeEngine([completed("Hi", **ORIGINS)]))).json()

    assert body["prompt_token_ids"] == [104, 105]
    assert body["choices"][0]["token_ids"] == [7, 8, 9]
    assert body["choices"][0]["forced_by"] == [None, "greeting", None]


def test_a_stream_has_each_token_once_and_the_rest_in_the_chunk_that_ends_it(serve):
    updates = [
        Started(prompt_tokens=2, prompt_ids=(104, 105)),
        TextDelta(text="H", token_ids=(7,), forced_by=(None,), logprobs=(entry(7),)),
        TextDelta(text="i", token_ids=(8,), forced_by=("greeting",), logprobs=(entry(8),)),
        completed("Hi", **ORIGINS, logprobs=(entry(7), entry(8), entry(9))),
    ]
    sent = chunks(post(serve(FakeEngine(updates)), stream=True, logprobs=True))
    choices = [chunk["choices"][0] for chunk in sent]

    assert [chunk.get("prompt_token_ids") for chunk in sent] == [[104, 105], None, None, None]
    assert [choice.get("token_ids") for choice in choices] == [None, [7], [8], [9]]
    assert [choice.get("forced_by") for choice in choices] == [None, [None], ["greeting"], [None]]
    assert [len((c["logprobs"] or {"content": ()})["content"]) for c in choices] == [0, 1, 1, 1]
    assert choices[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize("value", [None, False])
def test_no_ids_are_sent_unless_requested(serve, value):
    engine = FakeEngine(says("Hi", **ORIGINS))
    body = post(serve(engine), return_token_ids=value).json()

    assert not engine.requests[0].return_token_ids
    assert "prompt_token_ids" not in body
    assert not {"token_ids", "forced_by"} & set(body["choices"][0])


def test_ids_are_not_available_with_retractions(client):
    response = post(client, stream=True, stream_options={"include_retractions": True})

    assert (response.status_code, response.json()["error"]["param"]) == (400, "return_token_ids")
    assert post(client, return_token_ids="yes").json()["error"]["param"] == "return_token_ids"
