"""What a run takes of the machine: memory, processors, and the device where the platform tells."""

import re
import shutil
import subprocess
import sys
import time

import mlx.core as mx
import psutil
from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True):
    """What was used between two moments."""

    cpu_percent: float  # of one processor; more than 100 if several were busy
    resident_bytes: int  # of the process, at the end
    active_bytes: int  # of mlx's buffers, at the end
    peak_bytes: int  # of mlx's buffers, at most


class Watch:
    """Watches this process from its making on."""

    def __init__(self) -> None:
        """Begin to watch."""
        self._process = psutil.Process()
        mx.reset_peak_memory()
        self._began = time.perf_counter()
        self._cpu_s = self._cpu_seconds()

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def usage(self) -> Usage:
        """What was used since."""
        seconds = time.perf_counter() - self._began
        return Usage(
            cpu_percent=100 * (self._cpu_seconds() - self._cpu_s) / seconds,
            resident_bytes=self._process.memory_info().rss,
            active_bytes=mx.get_active_memory(),
            peak_bytes=mx.get_peak_memory(),
        )


def gpu_percent() -> float | None:
    """How busy the graphics processor is now, in per cent; `None` where nobody tells."""
    if sys.platform == "darwin":
        return parse_ioreg(_output("ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator"))
    return parse_nvidia_smi(
        _output("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
    )


def wired_bytes() -> int | None:
    """How much memory macOS keeps from being moved; `None` on other systems."""
    return parse_vm_stat(_output("vm_stat")) if sys.platform == "darwin" else None


def parse_ioreg(text: str) -> float | None:
    """How busy the device is, by what `ioreg` prints of it."""
    found = re.search(r'"Device Utilization %"\s*=\s*(\d+)', text)
    return float(found[1]) if found else None


def parse_nvidia_smi(text: str) -> float | None:
    """How busy the first device is, by what `nvidia-smi` prints of all."""
    found = re.match(r"\s*(\d+)", text)
    return float(found[1]) if found else None


def parse_vm_stat(text: str) -> int | None:
    """The wired memory, by what `vm_stat` prints: a number of pages, of a size that it tells."""
    size = re.search(r"page size of (\d+) bytes", text)
    wired = re.search(r"^Pages wired down:\s+(\d+)\.", text, re.MULTILINE)
    return int(size[1]) * int(wired[1]) if size and wired else None


def _output(command: str, *arguments: str) -> str:
    """What a command prints; nothing where it is not there or fails."""
    path = shutil.which(command)
    if path is None:
        return ""
    done = subprocess.run(  # noqa: S603  # commands of the system, with fixed arguments
        [path, *arguments], capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout if done.returncode == 0 else ""
