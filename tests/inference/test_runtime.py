"""The wiring that the server, the command line and the Python API share."""

import asyncio

import pytest
from concordance_inference.generation import Completed, SamplingParams
from concordance_inference.runtime import Runtime
from concordance_shared import Message
from sandboxes import mod_catalog
from tiny_folder import write_tiny_folder


@pytest.fixture(name="runtime", scope="module")
def _runtime(tmp_path_factory):
    folder = write_tiny_folder(tmp_path_factory.mktemp("model") / "tiny")
    with Runtime(str(folder), mod_catalog(), progress=lambda _: None) as runtime:
        yield runtime


async def generated(runtime, request):
    return [update async for update in runtime.generate(request)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_every_completion_is_remembered_for_the_next_prompt(runtime, monkeypatch, stream, is_async):
    remembered = []
    monkeypatch.setattr(runtime.chat, "remember", lambda *args, **_: remembered.append(args))
    request = runtime.request(
        (Message(role="user", content="hi"),),
        max_tokens=3,
        sampling=SamplingParams(seed=1),
        stream=stream,
    )
    if is_async:
        updates = asyncio.run(generated(runtime, request))
    else:
        updates = list(runtime.submit(request))

    assert isinstance(updates[-1], Completed)
    assert remembered == [(request, updates[-1])]


def test_a_dropped_request_is_cancelled(runtime):
    request = runtime.request("hi", max_tokens=None, sampling=SamplingParams(seed=1))
    running = runtime.submit(request)
    next(running)
    running.close()

    assert list(running) == []
    list(runtime.submit(runtime.request("hi", max_tokens=1)))
    assert runtime.engine.num_unfinished == 0
