"""An engine on its own thread, for event loops and other threads."""

import asyncio
import threading
import time

import pytest
from concordance_inference.engine.thread import MAX_FAILURES, EngineThread
from concordance_inference.generation import Completed, Failed, ModelInfo, TextDelta
from concordance_shared import (
    EngineError,
    EngineOverloadedError,
    EngineStoppedError,
    ModelLoadError,
)
from families import build_model
from tiny import ask, make_engine

INFO = ModelInfo(id="tiny", created=0, context_length=4096, vocab_size=257)


def build():
    return make_engine(build_model("llama")), INFO


@pytest.fixture(name="thread")
def _thread():
    with EngineThread(build, max_unfinished=4) as thread:
        yield thread


async def collect(thread, request):
    return [update async for update in thread.generate(request)]


def test_a_request_is_answered(thread):
    updates = asyncio.run(collect(thread, ask("Hello", max_tokens=5, stream=True)))

    assert isinstance(updates[-1], Completed)
    assert "".join(u.text for u in updates if isinstance(u, TextDelta)) == updates[-1].text


def test_requests_of_one_event_loop_run_together(thread):
    async def several():
        return await asyncio.gather(
            *(collect(thread, ask("Hello", max_tokens=5)) for _ in range(4))
        )

    ends = [updates[-1] for updates in asyncio.run(several())]

    assert len({end.token_ids for end in ends}) == 1


def test_too_many_requests_are_refused_and_counted_out_again(thread):
    async def flood():
        answers = [
            asyncio.ensure_future(collect(thread, ask("Hello", max_tokens=40))) for _ in range(6)
        ]
        return await asyncio.gather(*answers, return_exceptions=True)

    answers = asyncio.run(flood())

    assert sum(isinstance(a, EngineOverloadedError) for a in answers) == 2
    assert thread.num_unfinished == 0


def test_leaving_early_cancels(thread):
    async def leave():
        updates = thread.generate(ask("Hello", max_tokens=4000, stream=True))
        await anext(updates)
        await updates.aclose()

    asyncio.run(leave())
    deadline = time.monotonic() + 10
    while thread.num_unfinished and time.monotonic() < deadline:
        time.sleep(0.01)

    assert thread.num_unfinished == 0


def test_what_loading_raises_reaches_whoever_starts():
    def broken():
        raise ModelLoadError("no such model")

    with pytest.raises(ModelLoadError, match="no such model"):
        EngineThread(broken, max_unfinished=1).start()


def test_a_step_that_raises_ends_its_requests_and_the_engine_goes_on(thread, monkeypatch):
    from concordance_inference.engine.engine import Engine

    plain = Engine.step
    left = [1]

    def step(self):
        if left[0] and self.rows:
            left[0] -= 1
            raise RuntimeError("kaput")
        plain(self)

    monkeypatch.setattr(Engine, "step", step)
    first = asyncio.run(collect(thread, ask("Hello", max_tokens=5)))[-1]
    second = asyncio.run(collect(thread, ask("Hello", max_tokens=5)))[-1]

    assert isinstance(first, Failed)
    assert isinstance(first.error, EngineError)
    assert "kaput" in str(first.error)
    assert isinstance(second, Completed)


def test_an_engine_that_fails_again_and_again_stops_and_says_so(thread, monkeypatch):
    from concordance_inference.engine.engine import Engine

    def step(self):
        raise RuntimeError("kaput")

    monkeypatch.setattr(Engine, "step", step)
    for _ in range(MAX_FAILURES):
        assert isinstance(asyncio.run(collect(thread, ask("Hello")))[-1], Failed)
    thread._thread.join(10)

    assert not thread.is_running
    with pytest.raises(EngineStoppedError):
        asyncio.run(collect(thread, ask("Hello")))


def test_stopping_ends_what_runs():
    ends = []
    thread = EngineThread(build, max_unfinished=4).start()
    thread.submit(ask("Hello", max_tokens=4000), ends.append)
    thread.stop()

    assert isinstance(ends[-1], Failed)
    assert isinstance(ends[-1].error, EngineStoppedError)
    assert not thread.is_running


def test_the_thread_is_gone_after_stopping():
    before = threading.active_count()
    EngineThread(build, max_unfinished=1).start().stop()

    assert threading.active_count() == before
