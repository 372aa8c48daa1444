"""Streams that say how much of the prompt is prefilled."""

import json

import pytest
from concordance_inference.generation import PrefillProgress
from fake_engine import FakeEngine, says
from openai import OpenAI

PROGRESS = [PrefillProgress(total=9, cache=4, processed=n, time_ms=n) for n in (6, 9)]
MESSAGES = [{"role": "user", "content": "hi"}]
URLS = {
    "/v1/chat/completions": {"model": "fake", "messages": MESSAGES},
    "/v1/completions": {"model": "fake", "prompt": "hi"},
}
ASKS = [{"return_progress": True}, {"stream_options": {"include_progress": True}}]


def chunks(response):
    lines = response.text.split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("field", ASKS)
def test_chunks_without_choices_have_the_progress(serve, url, field):
    engine = FakeEngine([*PROGRESS, *says("a")])
    response = serve(engine).post(url, json={**URLS[url], "stream": True, **field})
    first, second, *rest = chunks(response)

    assert engine.requests[0].show_progress
    assert (first["choices"], second["choices"]) == ([], [])
    assert first["prompt_progress"] == {"total": 9, "cache": 4, "processed": 6, "time_ms": 6}
    assert second["prompt_progress"]["processed"] == 9
    assert all("prompt_progress" not in chunk for chunk in rest)


@pytest.mark.parametrize("fields", [{}, {"stream": False, "return_progress": True}])
def test_progress_is_for_streams_that_ask_for_it(serve, fields):
    engine = FakeEngine()
    serve(engine).post("/v1/chat/completions", json={**URLS["/v1/chat/completions"], **fields})

    assert not engine.requests[0].show_progress


def test_the_official_client_reads_a_stream_with_progress(serve):
    http = serve(FakeEngine([*PROGRESS, *says("Hel", "lo")]))
    client = OpenAI(base_url="http://127.0.0.1/v1", api_key="x", http_client=http)
    options = {"extra_body": {"return_progress": True}}
    with client.chat.completions.stream(model="fake", messages=MESSAGES, **options) as stream:
        completion = stream.get_final_completion()

    assert completion.choices[0].message.content == "Hello"
