"""A server whose engine has no model: it records a trace of given texts, for the page."""

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import uvicorn
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from concordance_inference.traces.hub import TraceHub
from concordance_shared import Added, Backtrack
from fake_engine import FakeChat, FakeEngine, says
from sandboxes import mod_catalog


def record(request):
    """Complete with "a cat sat.", one token a letter; a mod makes it "a dog sat."."""
    mods = [call.name for call in request.mods]
    recorder, count = request.recorder, 0

    def sample(text):
        nonlocal count
        for token_id in text.encode():
            if recorder:
                recorder.drew(token_id, count)
                recorder.edited(count, (token_id,), None, forced=False)
                values = [-0.5, 0.0, 1.5, 0.0, token_id, -0.5, 0.0]
                recorder.values(recorder.num_draws - 1, values, is_adjusted=False)
            count += 1

    if recorder:
        recorder.begin((), (), 7)
    sample("a cat")
    if mods and recorder:
        recorder.log(mods[0], "print", "no cats")
        event = Added(request_id=request.request_id, step=count, added_tokens=(), forced=False)
        recorder.acted(mods[0], event, Backtrack(3, tuple(b"dog")))
        recorder.edited(2, tuple(b"dog"), mods[0], forced=True)
    sample(" sat.")
    text = "a dog sat." if mods else "a cat sat."
    if recorder:
        recorder.end(ended(request, text, 3 if mods else 0))
    return says(text)


def ended(request, text, num_forced):
    return {
        "token_ids": [*request.prompt_ids, *text.encode()],
        "prompt_tokens": len(request.prompt_ids),
        "cached_tokens": 0,
        "completion_tokens": len(text),
        "forced_tokens": num_forced,
        "backtracked_tokens": num_forced,
        "finish_reason": "stop",
        "error": None,
        "seed": 7,
        "usage": (),
        "actions": (),
    }


@contextmanager
def traced_server():
    """Serve on a free port in a thread; yield the server's `url`."""
    models = OneModel(FakeEngine(record), FakeChat())
    context = ServerContext(models=models, mods=mod_catalog(), traces=TraceHub())
    config = uvicorn.Config(create_app(context), port=0, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield SimpleNamespace(url=f"http://127.0.0.1:{port}")
    server.should_exit = True
    thread.join(20)
