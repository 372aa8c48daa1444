"""Resource use of the process, and the output of system tools."""

import sys
from types import SimpleNamespace

import mlx.core as mx
import pytest
from concordance_inference.bench import resources
from concordance_inference.bench.resources import (
    Watch,
    parse_ioreg,
    parse_nvidia_smi,
    parse_vm_stat,
    wired_bytes,
)

VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               12345.
Pages active:                            400000.
Pages inactive:                          390000.
Pages wired down:                        131072.
Pages purgeable:                           1234.
"""
IOREG = """  | {
  |   "PerformanceStatistics" = {"Tiler Utilization %"=3,"Device Utilization %"=87}
  | }
"""


def test_wired_memory_is_the_number_of_pages_times_the_page_size():
    assert parse_vm_stat(VM_STAT) == 131072 * 16384
    assert parse_vm_stat(VM_STAT.replace("16384", "4096")) == 131072 * 4096


def test_gpu_utilization_on_macos():
    assert parse_ioreg(IOREG) == 87
    assert parse_ioreg(IOREG.replace('%"=', '%" = ')) == 87


def test_gpu_utilization_of_the_first_nvidia_device():
    assert parse_nvidia_smi("42\n7\n") == 42


@pytest.mark.parametrize("parse", [parse_vm_stat, parse_ioreg, parse_nvidia_smi])
def test_unknown_output_is_none(parse):
    assert parse("") is None
    assert parse("command not found") is None


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS reports it")
def test_wired_memory_is_none_on_other_systems():
    assert wired_bytes() is None


def test_usage_is_cpu_time_over_wall_time(monkeypatch):
    cpu, wall = iter([10.0, 13.0]), iter([100.0, 102.0])
    monkeypatch.setattr(Watch, "_cpu_seconds", lambda _: next(cpu))
    monkeypatch.setattr(resources, "time", SimpleNamespace(perf_counter=lambda: next(wall)))

    assert Watch().usage().cpu_percent == 150


def test_usage_counts_the_buffers_of_mlx_that_are_alive_and_their_peak():
    before, size = mx.get_active_memory(), 16 * 2**20
    watch = Watch()
    alive = mx.zeros(size, mx.uint8)
    freed = mx.zeros(2 * size, mx.uint8)
    mx.eval(alive, freed)
    del freed
    usage = watch.usage()

    assert before + size <= usage.active_bytes < before + 2 * size
    assert usage.peak_bytes >= before + 3 * size


def test_resident_memory_grows_with_what_is_allocated():
    before = Watch().usage().resident_bytes
    block = bytearray(b"x" * 64 * 2**20)

    assert Watch().usage().resident_bytes >= before + len(block) // 2
