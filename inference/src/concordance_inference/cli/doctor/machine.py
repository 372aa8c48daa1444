"""Checks of the machine: Python, packages, the device, its settings, limits of the process."""

import os
import platform
import re
import resource
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from concordance_inference.cli.doctor.finding import Finding, note, ok, problem
from concordance_inference.cli.options import Doctor
from concordance_inference.models.blas import preload_blas
from concordance_inference.models.precision import VARIABLE

_PACKAGE = "concordance-inference"
_SHOWN = ("mlx", "mlx-lm", "transformers", "llguidance")
_NVIDIA = Path("/proc/driver/nvidia/version")

_EXTRA = re.compile(r"extra == ['\"](\w+)['\"]")
_FOR_LINUX = re.compile(r"sys_platform == ['\"]linux['\"]")

#: Open files below which many clients at the same time are refused.
_FILES = 1024


def python(_: Doctor) -> Iterator[Finding]:
    """Python and the operating system."""
    text = f"{platform.python_version()}, {sys.executable}"
    yield ok("python", text, version=platform.python_version(), executable=sys.executable)
    system, machine = platform.system(), platform.machine()
    supported = system == "Linux" or (system == "Darwin" and machine == "arm64")
    found = f"{platform.platform(terse=True)}, {machine}"
    if supported:
        yield ok("system", found)
    else:
        yield problem("system", f"{found}: MLX runs on macOS on Apple silicon, and on Linux")


def packages(_: Doctor) -> Iterator[Finding]:
    """The packages that are needed, and those of the extras."""
    needed, extras = _requirements()
    missing = [name for name in needed if _version(name) is None]
    if missing:
        them = ", ".join(missing)
        yield problem("packages", f"missing: {them}; install {_PACKAGE} again", missing=missing)
    else:
        versions = {name: _version(name) for name in (_PACKAGE, *_SHOWN)}
        text = ", ".join(f"{name} {number}" for name, number in versions.items())
        yield ok("packages", text, versions=versions)
    for extra, names in extras.items():
        absent = [name for name in names if _version(name) is None]
        if absent:
            how = f"`pip install '{_PACKAGE}[{extra}]'`"
            yield note(
                "extra", f"{extra} is not installed: {', '.join(absent)}; {how}", extra=extra
            )


def _requirements() -> tuple[list[str], dict[str, list[str]]]:
    """The names of the packages that are needed here, and of those of each extra.

    Extras for a device replace each other, and are checked as the device.
    """
    needed: list[str] = []
    extras: dict[str, list[str]] = {}
    for line in requires(_PACKAGE) or []:
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        extra = _EXTRA.search(line)
        if extra and name != "mlx":
            extras.setdefault(extra[1], []).append(name)
        elif not extra and (sys.platform == "linux" or not _FOR_LINUX.search(line)):
            needed.append(name)
    return needed, extras


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def device(_: Doctor) -> Iterator[Finding]:
    """The device, by a computation on it."""
    preload_blas()
    try:
        import mlx.core as mx

        mx.eval(mx.ones((8, 8)) @ mx.ones((8, 8)))
    except (ImportError, RuntimeError) as exc:
        yield problem(
            "device",
            f"MLX cannot compute: {exc}; on Linux, install one of "
            f"`{_PACKAGE}[cpu]` and `{_PACKAGE}[cuda]`",
        )
        return
    info = mx.device_info()
    kind = "cpu" if mx.default_device() == mx.cpu else "gpu"
    name = info.get("device_name") or info.get("architecture") or ""
    yield ok("device", f"{kind}, {name}, mlx {version('mlx')}", kind=kind, name=name)
    if kind == "cpu" and _NVIDIA.exists():
        text = f"there is an NVIDIA GPU, and MLX uses the CPU; install `{_PACKAGE}[cuda]`"
        yield note("gpu", text)


def precision(_: Doctor) -> Iterator[Finding]:
    """The precision of float32 matrix products."""
    value = os.environ.get(VARIABLE, "0")
    if value == "0":
        yield ok("tf32", "off: float32 matrix products in float32", value=value)
    else:
        text = (
            f"{VARIABLE}={value}: float32 matrix products may be rounded to TF32, and then tokens "
            "of a float32 model depend on the batch; unset it for exact results"
        )
        yield note("tf32", text, value=value)


def cpu(_: Doctor) -> Iterator[Finding]:
    """The BLAS of a CPU on Linux, and the compiler with which MLX fuses operations."""
    if sys.platform != "linux" or not _uses_cpu():
        return
    library = preload_blas()
    if library is None:
        text = "MLX's own, which is slow on a CPU; `pip install scipy-openblas32`"
        yield note("blas", text)
    else:
        yield ok("blas", str(library))
    if shutil.which("g++") is None:
        text = "no g++, with which MLX fuses element-wise operations on a CPU; install it for speed"
        yield note("compiler", text)


def _uses_cpu() -> bool:
    try:
        import mlx.core as mx
    except ImportError:  # `device` has reported it
        return False
    return mx.default_device() == mx.cpu


def limits(options: Doctor) -> Iterator[Finding]:
    """Limits of the process."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < _FILES:
        text = f"{files} open files; with more clients than that, raise it: `ulimit -n {_FILES}`"
        yield note("files", text, limit=files)
    locked, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if options.mlock and sys.platform == "linux" and locked != resource.RLIM_INFINITY:
        text = f"--mlock, and {locked} bytes may be locked; raise it: `ulimit -l unlimited`"
        yield note("mlock", text, limit=locked)
