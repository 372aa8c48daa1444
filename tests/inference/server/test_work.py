"""Work on worker threads: how much runs at a time, and when more is refused."""

import threading

import anyio
import pytest
from concordance_inference.server import work
from concordance_inference.server.work import Workers
from concordance_shared import EngineOverloadedError

LARGE = 10**6


class Gate:
    """A function that waits until the gate opens, and counts how many run together."""

    def __init__(self):
        self.may_end = threading.Event()
        self.most = self.running = 0
        self.lock = threading.Lock()

    def __call__(self):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.may_end.wait(60)
        with self.lock:
            self.running -= 1


async def until(condition):
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.005)


def test_large_requests_are_read_one_at_a_time_beside_small_ones():
    async def main():
        workers, large, small = Workers(), Gate(), Gate()
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(lambda: workers.read(large, num_bytes=LARGE))
            for _ in range(6):
                tasks.start_soon(lambda: workers.read(small, num_bytes=10))
            await until(lambda: large.running == 1 and small.running == 4)
            large.may_end.set()
            small.may_end.set()
        assert (large.most, small.most) == (1, 4)

    anyio.run(main)


def test_more_than_the_limit_is_refused_but_responses_are_encoded(monkeypatch):
    monkeypatch.setattr(work, "MAX_WAITING", 2)

    async def main():
        workers, gate = Workers(), Gate()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(workers.prepare, gate)
            tasks.start_soon(workers.load, gate)
            await until(lambda: gate.running == 2)
            for refused in (workers.look_up, workers.command, workers.prepare):
                with pytest.raises(EngineOverloadedError, match="already reads 2 requests"):
                    await refused(lambda: 1)
            assert await workers.encode(lambda: "encoded") == "encoded"
            gate.may_end.set()
        assert await workers.command(lambda: 3) == 3  # nothing waits any more

    anyio.run(main)


def test_an_error_is_passed_on_and_frees_its_place(monkeypatch):
    monkeypatch.setattr(work, "MAX_WAITING", 1)

    async def main():
        workers = Workers()
        for _ in range(3):
            with pytest.raises(KeyError):
                await workers.command(lambda: {}["x"])

    anyio.run(main)
