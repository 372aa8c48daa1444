"""A stream whose model is being loaded starts meanwhile."""

import asyncio
import json

import pytest
from asgi_calls import Call
from concordance_inference.pool.pool import ModelPool
from concordance_inference.pool.spec import ModelSpec
from concordance_inference.server import updates
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.model_wait import waits_for_events
from concordance_inference.server.transport import sse
from fake_source import FakeSource
from sandboxes import mod_catalog

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hi"}]
BODIES = {
    CHAT: {"messages": MESSAGES},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 9},
}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(name="source")
def _source(monkeypatch):
    """A source whose models wait for the test."""
    monkeypatch.setattr(updates, "PATIENCE_S", 0.01)
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.01)
    source = FakeSource()
    source.may_load.clear()
    yield source
    source.may_load.set()


def app_of(source):
    pool = ModelPool([ModelSpec(name="fake", place="fake")], source)
    return create_app(ServerContext(models=pool, mods=mod_catalog()))


def ask(app, path=CHAT, **fields):
    return Call(app, "POST", path, {"model": "fake", **BODIES[path], **fields})


PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def has_comments(call):
    """True after two comments; Anthropic's API has pings in their place."""
    return call.raw.count(b": keep-alive\n\n") + call.raw.count(PING) >= 2


@pytest.mark.parametrize("path", BODIES)
async def test_a_stream_sends_comments_while_its_model_is_loaded(source, path):
    call = ask(app_of(source), path, stream=True)
    await call.until(has_comments)
    assert call.status == 200
    assert b"data:" not in call.raw.replace(PING, b"")
    assert (PING in call.raw) == (path == "/v1/messages")
    source.may_load.set()
    await call.end()

    assert b"Hel" in call.raw
    assert source.loads == ["fake"]


async def test_a_request_that_is_not_streamed_waits_for_its_model(source):
    call = ask(app_of(source))
    await asyncio.sleep(0.1)
    assert call.status is None
    source.may_load.set()
    await call.end()

    assert call.json["choices"][0]["message"]["content"] == "Hello"


@pytest.mark.parametrize("path", BODIES)
async def test_an_error_of_the_load_is_an_event_of_a_stream_that_started(source, path):
    source.failing.add("fake")
    call = ask(app_of(source), path, stream=True)
    await call.until(has_comments)
    source.may_load.set()
    await call.end()
    (event,) = [line for line in call.raw.decode().split("\n\n") if "no weights" in line]
    data = json.loads(event.partition("data: ")[2])

    assert call.status == 200
    if path == "/v1/responses":
        assert event.startswith("event: error\n")
        assert (data["type"], data["code"]) == ("error", "model_load_failed")
    elif path == "/v1/messages":
        assert event.startswith("event: error\n")
        assert (data["type"], data["error"]["type"]) == ("error", "api_error")
    else:
        assert data["error"]["code"] == "model_load_failed"
        assert call.raw.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("is_failing", [True, False])
async def test_the_id_of_a_request_is_free_once_its_last_event_is_sent(source, is_failing):
    source.failing = {"fake"} if is_failing else set()
    app = app_of(source)
    at_the_end = []

    class Watched(Call):
        async def _send(self, message):
            await super()._send(message)
            if b"[DONE]" in message.get("body", b""):
                at_the_end.append(app.state.context.running.all())

    call = Watched(app, "POST", CHAT, {"model": "fake", "stream": True, **BODIES[CHAT]})
    await call.until(has_comments)
    source.may_load.set()
    await call.end()

    assert at_the_end == [[]]


async def test_an_error_before_the_stream_started_has_its_status(source, monkeypatch):
    monkeypatch.setattr(updates, "PATIENCE_S", 20.0)
    source.failing.add("fake")
    source.may_load.set()
    call = await ask(app_of(source), stream=True).end()

    assert (call.status, call.json["error"]["code"]) == (500, "model_load_failed")


@pytest.mark.parametrize("patience_s", [0.01, 20.0])
async def test_a_client_that_disconnects_meanwhile_generates_nothing(
    source, monkeypatch, patience_s
):
    monkeypatch.setattr(updates, "PATIENCE_S", patience_s)
    app = app_of(source)
    call = ask(app, stream=True)
    if patience_s < 1:
        await call.until(has_comments)
    await asyncio.sleep(0.05)
    call._inbox.put_nowait({"type": "http.disconnect"})
    await call.end()
    source.may_load.set()
    listed = await Call(app, "GET", "/v1/requests").end()
    (card,) = app.state.context.models.cards()

    assert listed.json["data"] == []
    assert card.num_requests == 0


@pytest.mark.parametrize(
    ("body", "is_stream"),
    [
        ('{"stream": true}', True),
        ('{"stream": true, "background": true}', False),
        ('{"stream": null}', False),
        ('{"stream": 1}', False),
        ("[]", False),
        ("{", False),
    ],
)
def test_the_body_says_if_events_are_waited_for(body, is_stream):
    assert waits_for_events(body.encode()) is is_stream
