"""Streams of events: comments while nothing comes, one write for events that wait, disconnects."""

import pytest
from concordance_inference.generation import Started, TextDelta
from concordance_inference.server import updates
from concordance_inference.server.transport import sse
from fake_engine import FakeEngine, says
from starlette.testclient import TestClient

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}], "stream": True}
CHAT = "/v1/chat/completions"


@pytest.fixture
def _impatient(monkeypatch):
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.05)
    monkeypatch.setattr(updates, "PATIENCE_S", 0.01)


@pytest.mark.usefixtures("_impatient")
def test_comments_are_sent_while_a_prompt_is_prefilled(serve):
    text = serve(FakeEngine([0.3, *says("a")])).post(CHAT, json=ASK).text

    assert text.startswith(": keep-alive\n\n: keep-alive\n\n")
    assert text.endswith("data: [DONE]\n\n")
    assert '"content":"a"' in text


@pytest.mark.usefixtures("_impatient")
def test_comments_are_sent_while_a_mod_holds_text_back(serve):
    held = [Started(prompt_tokens=1), TextDelta(text="a"), 0.2, *says("b")[1:]]
    text = serve(FakeEngine(held)).post(CHAT, json=ASK).text

    assert ": keep-alive\n\n" in text[text.index('"content":"a"') : text.index('"content":"b"')]


@pytest.mark.usefixtures("_impatient")
def test_no_comment_is_sent_while_events_come(serve):
    steady = [Started(prompt_tokens=1)] + [0.01, TextDelta(text="a")] * 20 + says()[-1:]

    assert ": keep-alive" not in serve(FakeEngine(steady)).post(CHAT, json=ASK).text


class Ready:
    """Updates of which all but the first and the last are there already."""

    def __init__(self, updates):
        self._left = list(updates)

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop(0)

    def take(self):
        ready, self._left = self._left[:-1], self._left[-1:]
        return ready

    async def aclose(self): ...


def test_events_that_wait_are_sent_in_one_write(serve):
    engine = FakeEngine()
    engine.generate = lambda request: Ready(says("a", "b", "c"))
    app, sent = serve(engine).app, []

    async def recorded(scope, receive, send):
        async def record(message):
            sent.append(message.get("body", b""))
            await send(message)

        await app(scope, receive, record)

    TestClient(recorded, base_url="http://127.0.0.1:8000").post(CHAT, json=ASK)
    (together,) = [body for body in sent if b'"content":"a"' in body]
    assert b'"content":"b"' in together
    assert b'"content":"c"' in together
    assert b"".join(sent).endswith(b"data: [DONE]\n\n")
