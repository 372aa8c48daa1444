"""When mlx's idle buffers are given back, and when they are not."""

import logging
import os
import subprocess
import sys

import mlx.core as mx
import pytest
from concordance_inference.engine.model import device, memory
from concordance_inference.engine.model.memory import MemoryPolicy, default_kv_bytes, memory_size
from tiny import ask, finish, make_engine, run, submit


@pytest.fixture(name="clears")
def _clears(monkeypatch):
    """Counts calls of `clear_cache`, on a device that looks as if much lay idle."""
    calls = []
    monkeypatch.setattr(mx, "clear_cache", lambda: calls.append(1))
    monkeypatch.setattr(mx, "get_cache_memory", lambda: 10**9)
    return calls


def test_nothing_is_given_back_between_two_tokens(clears):
    engine = make_engine()
    submit(engine, ask(max_tokens=60))
    submit(engine, ask("later", max_tokens=40))
    for _ in range(30):
        engine.step()

    assert clears == []


def test_much_that_lies_idle_is_given_back_once_between_requests(clears):
    engine = make_engine()
    run(engine, *(ask(max_tokens=20) for _ in range(3)))
    engine.step()
    engine.step()

    assert clears == [1]


def test_little_that_lies_idle_is_kept(clears, monkeypatch):
    monkeypatch.setattr(mx, "get_cache_memory", lambda: 1000)
    engine = make_engine()
    run(engine, ask())
    engine.step()

    assert clears == []


def test_when_memory_is_short_it_is_given_back_before_more_runs(clears, monkeypatch):
    engine = make_engine()
    monkeypatch.setattr(mx, "get_active_memory", memory_size)
    submit(engine, ask(max_tokens=20))
    engine.step()
    for _ in range(5):
        engine.step()
    submit(engine, ask())
    engine.step()

    assert clears == [1, 1]
    finish(engine)


def test_what_mlx_keeps_is_bounded(monkeypatch):
    limits = []
    monkeypatch.setattr(mx, "set_cache_limit", limits.append)
    MemoryPolicy()

    assert limits == [memory_size() // 8]


GB = 10**9


@pytest.fixture(name="gpu")
def _gpu(monkeypatch):
    """Looks like a GPU of a kind: what `device_info` says of it, and whether it is Metal's."""

    def look_like(info, *, is_metal):
        wired = []
        monkeypatch.setattr(device, "runs_on_gpu", lambda: True)
        monkeypatch.setattr(mx, "device_info", lambda: info)
        monkeypatch.setattr(mx.metal, "is_available", lambda: is_metal)
        monkeypatch.setattr(mx, "set_wired_limit", wired.append)
        monkeypatch.setattr(mx, "set_cache_limit", lambda _: None)
        return wired

    return look_like


def test_caches_may_take_what_weights_leave():
    assert 0 < default_kv_bytes(0) < memory_size()
    assert default_kv_bytes(10**9) < default_kv_bytes(0)
    assert default_kv_bytes(2**62) == 0


def test_metal_tells_how_much_memory_there_is(gpu):
    gpu({"max_recommended_working_set_size": 123, "memory_size": 200}, is_metal=True)

    assert memory_size() == 123


def test_memory_of_a_cuda_card_is_the_cards_and_not_the_hosts(gpu):
    gpu({"total_memory": 80 * GB, "free_memory": 79 * GB}, is_metal=False)

    assert memory_size() == 80 * GB
    assert default_kv_bytes(16 * GB) == 46 * GB  # 72 less 16 of weights and 10 of reserve


def test_a_cpu_has_the_hosts_memory_even_beside_a_gpu(monkeypatch):
    expected = memory_size()
    monkeypatch.setattr(mx, "device_info", lambda: {"max_recommended_working_set_size": 123})
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)

    assert memory_size() == expected
    assert not memory.wire_memory()


def test_a_gpu_that_tells_nothing_has_the_hosts_memory(gpu):
    expected = memory_size()
    gpu({}, is_metal=False)

    assert memory_size() == expected


@pytest.mark.parametrize("weights", [2, 9])
def test_weights_caches_and_idle_buffers_fit_into_unified_memory(gpu, weights):
    gpu({"max_recommended_working_set_size": 11 * GB}, is_metal=True)
    idle = 11 * GB // 8

    assert weights * GB + default_kv_bytes(weights * GB) + idle <= 0.95 * 11 * GB


def test_every_engine_wires_memory_on_metal(gpu):
    wired = gpu({"max_recommended_working_set_size": 11 * GB}, is_metal=True)
    MemoryPolicy()

    assert wired == [11 * GB]


def test_no_memory_is_wired_on_cuda(gpu):
    wired = gpu({"total_memory": 80 * GB}, is_metal=False)
    MemoryPolicy()

    assert wired == []


def test_locking_memory_on_metal_is_wiring_it(gpu):
    wired = gpu({"max_recommended_working_set_size": 5}, is_metal=True)

    assert memory.lock_memory()
    assert wired == [5]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="CUDA's driver is Linux's here")
def test_locking_memory_with_cuda_locks_nothing_and_says_so(gpu, monkeypatch, caplog):
    gpu({"total_memory": 80 * GB}, is_metal=False)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda *_, **__: pytest.fail("locks host memory"))

    assert memory.lock_memory()
    assert "--mlock has no effect with CUDA" in caplog.text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mlockall is Linux's")
def test_where_memory_cannot_be_locked_the_log_says_why(monkeypatch, caplog):
    class Refusing:
        def mlockall(self, flags):
            memory.ctypes.set_errno(12)
            return -1

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda *args, **kwargs: Refusing())
    with caplog.at_level(logging.WARNING):
        assert not memory.lock_memory()

    assert f"{os.strerror(12)}; raise the limit" in caplog.text


@pytest.mark.process
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_locked_or_it_is_said_why():
    code = (
        "from concordance_inference.engine.model.memory import lock_memory;"
        "locked = lock_memory();"
        "[kb] = [l.split()[1] for l in open('/proc/self/status') if l.startswith('VmLck')];"
        "print(locked, int(kb) > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() in (["True", "True"], ["False", "False"])
