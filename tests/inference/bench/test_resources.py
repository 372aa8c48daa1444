"""What is read of what systems print of themselves."""

import sys

import pytest
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


def test_wired_memory_is_pages_of_the_size_that_is_told():
    assert parse_vm_stat(VM_STAT) == 131072 * 16384
    assert parse_vm_stat(VM_STAT.replace("16384", "4096")) == 131072 * 4096


def test_the_devices_load_on_macos():
    assert parse_ioreg(IOREG) == 87
    assert parse_ioreg(IOREG.replace('%"=', '%" = ')) == 87


def test_the_first_devices_load_on_a_machine_with_nvidia():
    assert parse_nvidia_smi("42\n7\n") == 42


@pytest.mark.parametrize("parse", [parse_vm_stat, parse_ioreg, parse_nvidia_smi])
def test_what_says_nothing_tells_nothing(parse):
    assert parse("") is None
    assert parse("command not found") is None


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS tells")
def test_other_systems_do_not_tell_wired_memory():
    assert wired_bytes() is None


def test_work_is_seen():
    watch = Watch()
    sum(range(2_000_000))
    usage = watch.usage()

    assert usage.cpu_percent > 0
    assert usage.resident_bytes > 10**6
