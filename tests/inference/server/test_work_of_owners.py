"""Work of requests on threads: how much of one owner may wait."""

import asyncio
import threading

import pytest
from concordance_inference.caller import Caller, calling
from concordance_inference.server import work
from concordance_inference.server.work import Workers
from concordance_shared import EngineOverloadedError


async def waiting(workers, owner, release, number):
    """Begin to read requests of an owner, which wait until `release`."""
    with calling(Caller(owner=owner)):
        tasks = [
            asyncio.ensure_future(workers.read(release.wait, num_bytes=1)) for _ in range(number)
        ]
    await asyncio.sleep(0)
    return tasks


def test_one_owner_cannot_take_the_places_of_others(monkeypatch):
    monkeypatch.setattr(work, "MAX_OF_OWNER", 2)
    workers, release = Workers(), threading.Event()

    async def run():
        tasks = await waiting(workers, "ann", release, 2)
        (refused,) = await waiting(workers, "ann", release, 1)
        with pytest.raises(EngineOverloadedError, match="2 requests of your key"):
            await refused
        tasks += await waiting(workers, "bob", release, 2)
        tasks += await waiting(workers, "", release, 3)
        release.set()
        assert all(await asyncio.gather(*tasks))
        assert await asyncio.gather(*await waiting(workers, "ann", release, 2)) == [True, True]

    asyncio.run(run())
    assert not workers._of_owners


def test_all_owners_together_have_a_limit(monkeypatch):
    monkeypatch.setattr(work, "MAX_WAITING", 2)
    workers, release = Workers(), threading.Event()

    async def run():
        tasks = await waiting(workers, "ann", release, 1)
        tasks += await waiting(workers, "", release, 1)
        (refused,) = await waiting(workers, "bob", release, 1)
        with pytest.raises(EngineOverloadedError, match="already reads 2 requests"):
            await refused
        release.set()
        assert all(await asyncio.gather(*tasks))

    asyncio.run(run())
