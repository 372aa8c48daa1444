"""A client that disconnects: its request is cancelled at any point."""

import asyncio
import json

import pytest
from concordance_inference.generation import Started, TextDelta
from fake_engine import FakeEngine, says

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


async def call(app, body, *, leave_after):
    """Send a request over ASGI and disconnect after `leave_after` messages; return those.

    With `leave_after=0`, disconnect as soon as the engine has the request.
    """
    raw = json.dumps(body).encode()
    sent, inbox = [], asyncio.Queue()
    inbox.put_nowait({"type": "http.request", "body": raw, "more_body": False})
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
    }

    async def send(message):
        sent.append(message)
        if len(sent) == leave_after:
            inbox.put_nowait({"type": "http.disconnect"})

    if leave_after == 0:
        leaving = asyncio.ensure_future(_leave(app.state.context.models.named(None).engine, inbox))
    await asyncio.wait_for(app(scope, inbox.get, send), 30)
    assert leave_after or leaving.done()
    return sent


async def _leave(engine, inbox):
    while not engine.requests:
        await asyncio.sleep(0.001)
    inbox.put_nowait({"type": "http.disconnect"})


@pytest.mark.parametrize("stream", [False, True])
def test_disconnecting_before_the_first_token_cancels_the_request(serve, stream):
    engine = FakeEngine([60.0, *says("never")])
    app = serve(engine).app
    asyncio.run(call(app, {**ASK, "stream": stream}, leave_after=0))

    assert len(engine.cancelled) == 1


def test_disconnecting_during_a_stream_cancels_the_request(serve):
    engine = FakeEngine([Started(prompt_tokens=1), TextDelta(text="a"), 60.0, *says("never")])
    app = serve(engine).app
    sent = asyncio.run(call(app, {**ASK, "stream": True}, leave_after=3))

    assert len(engine.cancelled) == 1
    assert b'"content":"a"' in b"".join(m.get("body", b"") for m in sent)


def test_a_client_that_stays_connected_gets_the_response(serve):
    engine = FakeEngine()
    app = serve(engine).app
    sent = asyncio.run(call(app, ASK, leave_after=99))

    assert sent[0]["status"] == 200
    assert engine.cancelled == []
