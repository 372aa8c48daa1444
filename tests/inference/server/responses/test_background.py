import asyncio

from concordance_inference.server.responses.background import BackgroundRuns
from concordance_inference.server.responses.event_log import EventLog


class Writer:
    """Writes one event at its beginning and one when it is cancelled."""

    id = "resp_1"
    context = ()

    def __init__(self):
        self.log = EventLog()
        self.is_over = False

    def body(self):
        return {}

    def begin(self):
        self.log.add([b"begin"])

    def cancel(self):
        if not self.is_over:
            self.log.add([b"cancelled"])


async def on_this_thread(work):
    work()


async def events(writer, *texts, gate=None):
    for text in texts:
        writer.log.add([text])
        yield text
        if gate:
            await gate.wait()
    writer.is_over = True


async def followed(log):
    return [event async for event in log.follow()]


def test_a_run_is_followed_to_its_end_and_then_forgotten():
    async def scene():
        runs, writer, ended = BackgroundRuns(), Writer(), []
        runs.start(
            writer, events(writer, b"a", b"b"), on_this_thread, lambda: ended.append(writer.id)
        )
        found = runs.find("resp_1")
        got = await followed(writer.log)
        await asyncio.sleep(0)
        return found is writer, got, runs.find("resp_1"), ended

    assert asyncio.run(scene()) == (True, [b"begin", b"a", b"b"], None, ["resp_1"])


def test_cancelling_a_run_waits_for_its_last_event():
    async def scene():
        runs, writer = BackgroundRuns(), Writer()
        runs.start(writer, events(writer, b"a", gate=asyncio.Event()), on_this_thread)
        follower = asyncio.ensure_future(followed(writer.log))
        await asyncio.sleep(0.01)
        await runs.cancel("resp_1")
        await runs.cancel("resp_1")
        await runs.cancel("other")
        return await follower

    assert asyncio.run(scene()) == [b"begin", b"a", b"cancelled"]


def test_a_run_that_raises_is_logged_and_ends_for_its_followers(caplog):
    async def broken():
        raise ValueError("no")
        yield

    async def scene():
        runs, writer = BackgroundRuns(), Writer()
        runs.start(writer, broken(), on_this_thread)
        return await followed(writer.log)

    assert asyncio.run(scene()) == [b"begin", b"cancelled"]
    assert "resp_1" in caplog.text
