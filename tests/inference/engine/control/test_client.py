"""Commands from an event loop to an engine on its thread."""

import asyncio

import pytest
from concordance_inference.control import Act, Pause, Resume, Step, UnknownRequestError
from concordance_inference.engine.control import client as client_module
from concordance_inference.engine.control.client import EngineControl
from concordance_inference.engine.thread import EngineThread
from concordance_inference.generation import Completed, Failed, ModelInfo
from concordance_shared import EngineOverloadedError, EngineStoppedError, ForceTokens
from families import build_model
from tiny import ask, make_engine

INFO = ModelInfo(id="tiny", created=0, context_length=4096, vocab_size=257)


def started(**config):
    return EngineThread(
        lambda: (make_engine(build_model("llama"), **config), INFO), max_unfinished=4
    )


async def collect(thread, request):
    return [update async for update in thread.generate(request)]


async def running(thread, control, request):
    """Start a request and wait until it has tokens."""
    task = asyncio.ensure_future(collect(thread, request))
    while True:
        status = (await control.statuses()).get(request.request_id)
        if status and status.completion_tokens >= 2:
            return task
        await asyncio.sleep(0.001)


def test_a_paused_request_continues_by_itself_while_the_engine_is_idle():
    async def scenario(thread):
        control, request = EngineControl(thread), ask(max_tokens=300)
        task = await running(thread, control, request)
        outcome = await control.send(request.request_id, Pause())
        return outcome, await asyncio.wait_for(task, 20)

    with started(pause_limit_s=0.1) as thread:
        outcome, updates = asyncio.run(scenario(thread))

    assert outcome.state == "paused"
    assert isinstance(updates[-1], Completed)
    assert updates[-1].completion_tokens > outcome.completion_tokens


def test_statuses_views_and_texts_are_read_from_any_thread():
    async def scenario(thread):
        control, request = EngineControl(thread), ask(max_tokens=300)
        task = await running(thread, control, request)
        await control.send(request.request_id, Pause())
        status = (await control.statuses())[request.request_id]
        view = await control.view(request.request_id)
        await control.send(request.request_id, Resume())
        await task
        with pytest.raises(UnknownRequestError):
            await control.view(request.request_id)
        return status, view, control.decode(control.encode("Hi"))

    with started() as thread:
        status, view, text = asyncio.run(scenario(thread))

    assert (status.state, status.prompt_tokens) == ("paused", 5)
    assert status.completion_tokens == len(view.completion_ids)
    assert text == "Hi"


def test_a_command_that_is_not_applied_in_time_is_withdrawn(monkeypatch):
    monkeypatch.setattr(client_module, "APPLY_S", 0.05)

    async def scenario(thread):
        control, request = EngineControl(thread), ask(max_tokens=300)
        task = await running(thread, control, request)
        monkeypatch.setattr(thread, "call", lambda run, refuse: None)
        with pytest.raises(EngineOverloadedError, match="will not be"):
            await control.send(request.request_id, Act(action=ForceTokens([65])))
        return (await task)[-1]

    with started() as thread:
        assert asyncio.run(scenario(thread)).forced_tokens == 0


def test_a_long_step_is_answered_while_it_runs(monkeypatch):
    async def scenario(thread):
        control, request = EngineControl(thread), ask(max_tokens=3000)
        task = await running(thread, control, request)
        await control.send(request.request_id, Pause())
        monkeypatch.setattr(client_module, "APPLY_S", 0.05)
        outcome = await control.send(request.request_id, Step(2500))
        control.cancel(request.request_id)
        await task
        return outcome

    with started() as thread:
        assert asyncio.run(scenario(thread)).state == "running"


def test_commands_to_a_stopped_engine_are_refused():
    async def scenario(control):
        with pytest.raises(EngineStoppedError):
            await control.send("r", Pause())
        return await control.statuses()

    with started() as thread:
        control = EngineControl(thread)

    assert asyncio.run(scenario(control)) == {}


def test_stopping_the_engine_ends_a_paused_request():
    async def scenario(thread):
        control, request = EngineControl(thread), ask(max_tokens=300)
        task = await running(thread, control, request)
        await control.send(request.request_id, Pause())
        await asyncio.to_thread(thread.stop)
        return (await task)[-1]

    with started() as thread:
        assert isinstance(asyncio.run(scenario(thread)), Failed)
