"""A server that gets a signal to stop while responses run."""

import asyncio
import json
import socket
import threading
import urllib.error
import urllib.request

import pytest
from concordance_inference.generation import Failed, Started, TextDelta
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.limits import Limits
from concordance_inference.server.served_models import OneModel
from concordance_inference.server.transport.http_server import http_server
from concordance_shared import EngineStoppedError
from fake_engine import FakeChat, FakeEngine
from sandboxes import mod_catalog


class EndlessEngine(FakeEngine):
    """Generates until it is stopped, as an engine does."""

    def __init__(self):
        super().__init__()
        self.is_generating, self.is_stopped = threading.Event(), threading.Event()

    async def generate(self, request):
        yield Started(prompt_tokens=3)
        while not self.is_stopped.is_set():
            if request.stream:
                yield TextDelta(text="a")
            self.is_generating.set()
            await asyncio.sleep(0.01)
        yield Failed(error=EngineStoppedError("the engine is stopping"))


def posted(port, *, stream):
    body = {"model": "fake", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    request = urllib.request.Request(  # http on a loopback address
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


@pytest.mark.parametrize("stream", [True, False])
def test_running_responses_end_with_an_error_after_the_grace_period(caplog, stream):
    engine = EndlessEngine()
    context = ServerContext(models=OneModel(engine, FakeChat()), mods=mod_catalog())
    server = http_server(create_app(context), engine.is_stopped.set, grace_s=0.2)
    responses = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        asking = threading.Thread(target=lambda: responses.append(posted(port, stream=stream)))
        serving.start()
        asking.start()
        assert engine.is_generating.wait(30)
        server.should_exit = True
        asking.join(30)
        serving.join(30)

    status, text = responses[0]
    assert status == (200 if stream else 503)
    assert "the engine is stopping" in text
    assert text.endswith("data: [DONE]\n\n") == stream
    assert "Traceback" not in caplog.text


def test_a_failure_at_the_start_ends_the_server_which_listens_before():
    answered = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

        def get():
            with urllib.request.urlopen(url, timeout=10) as response:
                answered.append(response.read())

        async def start():
            await asyncio.to_thread(get)
            raise ValueError("no model")

        server = http_server(app, lambda: None, on_start=start)
        server.run(sockets=[listener])

    assert answered == [b"here"]
    assert str(server.failure) == "no model"


def test_a_second_signal_ends_running_responses_at_once():
    engine = EndlessEngine()
    context = ServerContext(models=OneModel(engine, FakeChat()), mods=mod_catalog())
    signals, responses = [], []
    server = http_server(
        create_app(context),
        engine.is_stopped.set,
        limits=Limits(drain_s=3600.0),
        on_signal=signals.append,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        asking = threading.Thread(target=lambda: responses.append(posted(port, stream=True)))
        serving.start()
        asking.start()
        assert engine.is_generating.wait(30)
        server.should_exit = True  # as a signal to stop does
        asking.join(1)
        assert asking.is_alive()
        server.handle_exit(15, None)
        asking.join(30)
        serving.join(30)

    assert signals == [15]
    assert "the engine is stopping" in responses[0][1]
    assert responses[0][1].endswith("data: [DONE]\n\n")
