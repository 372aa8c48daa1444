"""`stop_reason`: what ended a completion, of chat and of plain completions."""

import json

import pytest
from fake_engine import FakeEngine, says

CHAT = ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]})
PLAIN = ("/v1/completions", {"prompt": "hi"})


def choices(serve, path, body, **fields):
    """The choice of a whole response, and the last one of a stream."""
    for streams in (False, True):
        client = serve(FakeEngine(says("Hel", "lo", **fields)))
        response = client.post(path, json={"model": "fake", "stream": streams, **body})
        text = response.text.split("data: ")[-2] if streams else response.text
        yield json.loads(text)["choices"][0]


@pytest.mark.parametrize(("path", "body"), [CHAT, PLAIN])
@pytest.mark.parametrize("ended_by", ["###", 7])
def test_the_stop_string_or_token_is_named(serve, path, body, ended_by):
    for choice in choices(serve, path, body, stopped_by=ended_by):
        assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", ended_by)


@pytest.mark.parametrize(("path", "body"), [CHAT, PLAIN])
def test_a_completion_that_ends_by_itself_has_no_stop_reason(serve, path, body):
    for choice in choices(serve, path, body):
        assert "stop_reason" not in choice
