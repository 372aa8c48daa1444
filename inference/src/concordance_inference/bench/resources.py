"""Memory, processor and GPU use of this process, as far as the platform reports it."""

import re
import shutil
import subprocess
import sys
import time

import mlx.core as mx
import psutil
from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True):
    """Resource use over a period."""

    cpu_percent: float  # of one processor; more than 100 if several are busy
    resident_bytes: int  # of the process, at the end
    active_bytes: int  # of mlx's buffers, at the end
    peak_bytes: int  # of mlx's buffers, the maximum


class Watch:
    """Measures this process from its construction on."""

    def __init__(self) -> None:
        """Start the clock and reset mlx's peak memory."""
        self._process = psutil.Process()
        mx.reset_peak_memory()
        self._began = time.perf_counter()
        self._cpu_s = self._cpu_seconds()

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def usage(self) -> Usage:
        """Return the resource use since construction."""
        seconds = time.perf_counter() - self._began
        return Usage(
            cpu_percent=100 * (self._cpu_seconds() - self._cpu_s) / seconds,
            resident_bytes=self._process.memory_info().rss,
            active_bytes=mx.get_active_memory(),
            peak_bytes=mx.get_peak_memory(),
        )


def gpu_percent() -> float | None:
    """Return the current GPU utilization in per cent; `None` if no tool reports it."""
    if sys.platform == "darwin":
        return parse_ioreg(_output("ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator"))
    return parse_nvidia_smi(
        _output("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
    )


def wired_bytes() -> int | None:
    """Return the wired memory of macOS; `None` on other systems."""
    return parse_vm_stat(_output("vm_stat")) if sys.platform == "darwin" else None


def parse_ioreg(text: str) -> float | None:
    """Return the GPU utilization in the output of `ioreg`."""
    found = re.search(r'"Device Utilization %"\s*=\s*(\d+)', text)
    return float(found[1]) if found else None


def parse_nvidia_smi(text: str) -> float | None:
    """Return the utilization of the first GPU in the output of `nvidia-smi`."""
    found = re.match(r"\s*(\d+)", text)
    return float(found[1]) if found else None


def parse_vm_stat(text: str) -> int | None:
    """Return the wired memory in the output of `vm_stat`, which has page counts and a page size."""
    size = re.search(r"page size of (\d+) bytes", text)
    wired = re.search(r"^Pages wired down:\s+(\d+)\.", text, re.MULTILINE)
    return int(size[1]) * int(wired[1]) if size and wired else None


def _output(command: str, *arguments: str) -> str:
    """Return the output of a command; empty if it is not installed or fails."""
    path = shutil.which(command)
    if path is None:
        return ""
    done = subprocess.run(  # noqa: S603  # commands of the system, with fixed arguments
        [path, *arguments], capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout if done.returncode == 0 else ""
