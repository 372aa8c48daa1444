"""Loads a fast BLAS before mlx does its own, on Linux without a GPU.

mlx's wheel for Linux CPUs is linked to the reference BLAS, whose matrix products are one to two
orders of magnitude slower than OpenBLAS's. mlx calls `cblas_sgemm` by name, so a library that is
loaded with global symbols before `mlx.core` is imported answers instead.

`cmeel-openblas`, a dependency of ours on Linux, carries OpenBLAS but not the Fortran runtime it
was linked to. Where the system has none, mlx's own copy of that runtime serves: it lies beside
mlx under a name with a hash in it, so it is loaded from memory under its plain name.
"""

import ctypes
import importlib.util
import logging
import os
import sys
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

logger = logging.getLogger(__name__)

#: Names under which a distribution's package manager installs an OpenBLAS.
_SYSTEM_LIBRARIES = ("libopenblas.so.0", "libopenblas.so")

_FORTRAN = b"libgfortran.so.5"

_loaded: str | None = None


def preload_blas() -> str | None:
    """Load an OpenBLAS, if this is Linux and mlx is not imported yet; say which in the log.

    Returns:
        Where it was found; `None` if there is none, or none is needed.
    """
    global _loaded  # noqa: PLW0603  # a process loads it once
    if sys.platform != "linux" or "mlx.core" in sys.modules or _loaded:
        return _loaded
    for candidate in (_packaged(), *_SYSTEM_LIBRARIES):
        if candidate and _load(candidate):
            logger.info("BLAS: %s", candidate)
            _loaded = str(candidate)
            return _loaded
    logger.warning(
        "BLAS: no OpenBLAS found, so mlx uses its slow reference BLAS; "
        "`pip install cmeel-openblas` makes prompts on a CPU many times faster"
    )
    return None


def _packaged() -> Path | None:
    """The library inside the package `cmeel-openblas`, if that is installed."""
    try:
        names = files("cmeel-openblas") or []
    except PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in names if f.name == "libopenblas.so.0"), None)


def _load(library: Path | str) -> bool:
    error = _open(library)
    if error and _FORTRAN.decode() in error and _load_fortran_runtime():
        error = _open(library)
    return error is None


def _open(library: Path | str) -> str | None:
    """Load a library with global symbols; return what went wrong, if anything."""
    try:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError as exc:
        return str(exc)
    return None


def _load_fortran_runtime() -> bool:
    """Load mlx's copy of libgfortran under the name by which other libraries ask for it."""
    spec = importlib.util.find_spec("mlx")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place).parent / "mlx_cpu.libs"
        for runtime in folder.glob("libgfortran-*.so.5*"):
            needed = [_open(library) for library in folder.glob("libquadmath-*")]
            return not any(needed) and _load_renamed(runtime)
    return False


def _load_renamed(runtime: Path) -> bool:
    """Load a library from memory with its name (DT_SONAME) shortened to the plain one."""
    name = runtime.name.encode() + b"\0"
    image = runtime.read_bytes().replace(name, _FORTRAN.ljust(len(name), b"\0"))
    with os.fdopen(os.memfd_create("libgfortran"), "wb") as file:
        file.write(image)
        file.flush()
        return _open(f"/proc/self/fd/{file.fileno()}") is None
