"""Waiting for the updates of several requests."""

import asyncio

import pytest
from concordance_inference.generation import Completed, Failed, TextDelta
from concordance_inference.server.updates import all_completed, merged
from concordance_shared import EngineStoppedError
from fake_engine import FakeEngine, completed, says


class Streams:
    """The part of a request that the fake engine reads."""

    stream = True


STOPPED = Failed(error=EngineStoppedError("stopped"))


def test_all_requests_end_in_order_of_their_numbers():
    async def run():
        engines = [FakeEngine([0.02, completed("a")]), FakeEngine([completed("b")])]
        return [end.text for end in await all_completed([e.generate(Streams()) for e in engines])]

    assert asyncio.run(run()) == ["a", "b"]


def test_a_failure_cancels_the_others():
    slow = FakeEngine([30.0, completed("a")])

    async def run():
        with pytest.raises(EngineStoppedError):
            await all_completed(
                [slow.generate(Streams()), FakeEngine([STOPPED]).generate(Streams())]
            )

    asyncio.run(run())
    assert len(slow.cancelled) == 1


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
@pytest.mark.parametrize("waits", ["whole", "stream"])
def test_of_requests_that_fail_at_once_the_first_is_reported(order, waits):
    class Waiting:
        """Updates that arrive together, in an order of their own."""

        def __init__(self, loop, index):
            self._arrived = loop.create_future()
            self._failed = Failed(error=EngineStoppedError(str(index)))

        def arrive(self):
            self._arrived.set_result(None)

        def __aiter__(self):
            return self

        async def __anext__(self):
            await self._arrived
            if self._failed is None:
                raise StopAsyncIteration
            failed, self._failed = self._failed, None
            return failed

        async def aclose(self):
            pass

    async def run():
        loop = asyncio.get_running_loop()
        requests = [Waiting(loop, index) for index in range(3)]
        loop.call_later(0, lambda: [requests[index].arrive() for index in order])
        if waits == "whole":
            with pytest.raises(EngineStoppedError) as raised:
                await all_completed(requests)
            return raised.value.message
        [[failed]] = [batch async for batch in merged(requests)]
        return failed.update.error.message

    assert asyncio.run(run()) == "0"


def test_merged_updates_name_their_request_and_end_with_the_first_failure():
    async def run(*engines):
        batches = merged([engine.generate(Streams()) for engine in engines])
        return [n async for batch in batches for n in batch]

    good = asyncio.run(run(FakeEngine(says("a")), FakeEngine(says("b"))))
    bad = asyncio.run(run(FakeEngine([30.0]), FakeEngine([STOPPED]), FakeEngine([0.1])))
    raised = asyncio.run(run(FakeEngine([KeyError("x")])))

    texts = {n.index: n.update.text for n in good if isinstance(n.update, TextDelta)}
    assert texts == {0: "a", 1: "b"}
    assert sum(isinstance(n.update, Completed) for n in good) == 2
    assert [(n.index, type(n.update)) for n in bad] == [(1, Failed)]
    assert "KeyError" in raised[-1].update.error.message


def test_closing_merged_updates_cancels_every_request():
    engines = [FakeEngine([TextDelta(text="a"), 30.0]), FakeEngine([30.0])]

    async def run():
        updates = merged([engine.generate(Streams()) for engine in engines])
        await anext(updates)
        await updates.aclose()

    asyncio.run(run())
    assert [len(engine.cancelled) for engine in engines] == [1, 1]
