"""Device memory: its size, wiring, locking, and when mlx's cached buffers are released."""

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
    """Calls of `clear_cache`, with large cached buffers."""
    calls = []
    monkeypatch.setattr(mx, "clear_cache", lambda: calls.append(1))
    monkeypatch.setattr(mx, "get_cache_memory", lambda: 10**9)
    return calls


def test_cached_buffers_are_not_released_between_two_tokens(clears):
    engine = make_engine()
    submit(engine, ask(max_tokens=60))
    submit(engine, ask("later", max_tokens=40))
    for _ in range(30):
        engine.step()

    assert clears == []


def test_large_cached_buffers_are_released_once_between_requests(clears):
    engine = make_engine()
    run(engine, *(ask(max_tokens=20) for _ in range(3)))
    engine.step()
    engine.step()

    assert clears == [1]


def test_small_cached_buffers_are_kept(clears, monkeypatch):
    monkeypatch.setattr(mx, "get_cache_memory", lambda: 1000)
    engine = make_engine()
    run(engine, ask())
    engine.step()

    assert clears == []


def test_cached_buffers_are_released_before_admission_if_memory_is_short(clears, monkeypatch):
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


def test_mlxs_buffer_cache_is_bounded(monkeypatch):
    limits = []
    monkeypatch.setattr(mx, "set_cache_limit", limits.append)
    MemoryPolicy()

    assert limits == [memory_size() // 8]


GB = 10**9


@pytest.fixture(name="gpu")
def _gpu(monkeypatch):
    """Imitate a GPU by its `device_info`, Metal or CUDA."""

    def look_like(info, *, is_metal):
        wired = []
        monkeypatch.setattr(device, "runs_on_gpu", lambda: True)
        monkeypatch.setattr(mx, "device_info", lambda: info)
        monkeypatch.setattr(mx.metal, "is_available", lambda: is_metal)
        monkeypatch.setattr(mx, "set_wired_limit", wired.append)
        monkeypatch.setattr(mx, "set_cache_limit", lambda _: None)
        return wired

    return look_like


def test_default_kv_bytes_are_the_memory_without_the_weights():
    assert 0 < default_kv_bytes(0) < memory_size()
    assert default_kv_bytes(10**9) < default_kv_bytes(0)
    assert default_kv_bytes(2**62) == 0


def test_memory_size_on_metal_is_the_recommended_working_set(gpu):
    gpu({"max_recommended_working_set_size": 123, "memory_size": 200}, is_metal=True)

    assert memory_size() == 123


def test_memory_size_on_cuda_is_the_cards(gpu):
    gpu({"total_memory": 80 * GB, "free_memory": 79 * GB}, is_metal=False)

    assert memory_size() == 80 * GB
    assert default_kv_bytes(16 * GB) == 46 * GB  # 72 less 16 of weights and 10 of reserve


def test_memory_size_on_a_cpu_is_the_hosts_even_if_there_is_a_gpu(monkeypatch):
    expected = memory_size()
    monkeypatch.setattr(mx, "device_info", lambda: {"max_recommended_working_set_size": 123})
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)

    assert memory_size() == expected
    assert not memory.wire_memory()


def test_memory_size_of_an_unknown_gpu_is_the_hosts(gpu):
    expected = memory_size()
    gpu({}, is_metal=False)

    assert memory_size() == expected


@pytest.mark.parametrize("weights", [2, 9])
def test_weights_caches_and_cached_buffers_fit_into_unified_memory(gpu, weights):
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


def test_locking_memory_on_metal_wires_it(gpu):
    wired = gpu({"max_recommended_working_set_size": 5}, is_metal=True)

    assert memory.lock_memory()
    assert wired == [5]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="CUDA's driver is Linux's here")
def test_locking_memory_with_cuda_locks_nothing_and_logs_it(gpu, monkeypatch, caplog):
    gpu({"total_memory": 80 * GB}, is_metal=False)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda *_, **__: pytest.fail("locks host memory"))

    assert memory.lock_memory()
    assert "--mlock has no effect with CUDA" in caplog.text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mlockall is Linux's")
def test_a_failure_to_lock_memory_is_logged_with_the_reason(monkeypatch, caplog):
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
def test_memory_is_locked_or_the_reason_is_logged():
    code = (
        "from concordance_inference.engine.model.memory import lock_memory;"
        "locked = lock_memory();"
        "[kb] = [l.split()[1] for l in open('/proc/self/status') if l.startswith('VmLck')];"
        "print(locked, int(kb) > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() in (["True", "True"], ["False", "False"])
