import asyncio

from concordance_inference.server.responses.event_log import EventLog


async def collected(log, first=0):
    return [event async for event in log.follow(first)]


def test_a_follower_gets_the_events_before_and_after_it_came():
    async def scene():
        log = EventLog()
        log.add([b"a", b"b"])
        early = asyncio.ensure_future(collected(log))
        await asyncio.sleep(0)
        log.add([b"c"])
        log.wake()
        late = asyncio.ensure_future(collected(log, 2))
        await asyncio.sleep(0)
        log.add([b"d"])
        log.wake(is_over=True)
        return await early, await late, await collected(log, 3), await collected(log, 9)

    assert asyncio.run(scene()) == ([b"a", b"b", b"c", b"d"], [b"c", b"d"], [b"d"], [])


def test_the_size_of_events_is_counted():
    log = EventLog()
    log.add([b"abc", b"de"])

    assert log.num_bytes == 5
