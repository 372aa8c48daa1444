"""Updates that another thread posts to an event loop."""

import asyncio
import gc
import threading

import pytest
from concordance_inference.engine.supervision.update_stream import Mailbox, UpdateStream
from concordance_inference.generation import Failed, Started, TextDelta
from concordance_shared import EngineError, EngineOverloadedError
from tiny import ask

FAILED = Failed(error=EngineError("kaput"))


class Engine:
    """Posts given updates from another thread, in one go."""

    def __init__(self, *updates):
        self.updates, self.cancelled = updates, []

    def submit(self, request, receive):
        mailbox = Mailbox(asyncio.get_running_loop())
        post = lambda: [mailbox.post(receive, update) for update in self.updates]  # noqa: E731
        thread = threading.Thread(target=post)
        thread.start()
        thread.join()

    def stream(self):
        return UpdateStream(ask("a"), self.submit, self.cancelled.append)


UPDATES = (Started(prompt_tokens=1), TextDelta(text="a"), TextDelta(text="b"), FAILED)


def test_updates_come_in_order_and_end_with_the_last():
    engine = Engine(*UPDATES)

    async def run():
        return [update async for update in engine.stream()]

    assert tuple(asyncio.run(run())) == UPDATES
    assert engine.cancelled == []


def test_updates_that_are_there_are_taken_at_once_without_the_last():
    async def run():
        stream = Engine(*UPDATES).stream()
        first = await anext(stream)
        return first, list(stream.take()), list(stream.take()), await anext(stream)

    assert asyncio.run(run()) == (UPDATES[0], list(UPDATES[1:3]), [], FAILED)


def test_the_event_loop_is_woken_once_for_updates_that_are_posted_together():
    async def run():
        loop, woken = asyncio.get_running_loop(), []
        plain = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *args: (woken.append(args), plain(*args))
        assert len([update async for update in Engine(*UPDATES).stream()]) == 4
        return len(woken)

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize("end", ["aclose", "drop"])
def test_a_stream_that_is_closed_or_dropped_cancels_its_request_once(end):
    engine = Engine(*UPDATES[:2])

    async def run():
        stream = engine.stream()
        await anext(stream)
        if end == "aclose":
            await stream.aclose()
        del stream
        gc.collect()

    asyncio.run(run())
    assert len(engine.cancelled) == 1


def test_a_stream_that_was_not_read_submits_and_cancels_nothing():
    engine = Engine()
    engine.submit = pytest.fail

    async def run():
        await engine.stream().aclose()

    asyncio.run(run())
    assert engine.cancelled == []


def test_a_refused_request_is_not_cancelled():
    engine = Engine()

    def refuse(*_):
        raise EngineOverloadedError("full")

    engine.submit = refuse

    async def run():
        with pytest.raises(EngineOverloadedError):
            await anext(engine.stream())

    asyncio.run(run())
    assert engine.cancelled == []


def test_updates_for_a_closed_event_loop_are_dropped():
    loop = asyncio.new_event_loop()
    loop.close()
    mailbox = Mailbox(loop)

    mailbox.post(pytest.fail, FAILED)
