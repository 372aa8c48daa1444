"""Loads OpenBLAS before mlx loads its own BLAS, on Linux without a GPU.

mlx's wheel for Linux CPUs links against the reference BLAS, whose matrix products are one to two
orders of magnitude slower than OpenBLAS's. The dynamic linker resolves mlx's calls by name, so a
symbol of that name loaded before `mlx.core` takes precedence. The package `scipy-openblas32`, a
dependency on Linux, ships an OpenBLAS that selects its kernels by CPU at run time. Its symbols have
a prefix (`scipy_cblas_sgemm`); aliases make them available without it.
"""

import importlib.util
import logging
import os
import sys
from pathlib import Path

from concordance_inference.models.blas.alias_library import load_aliases

logger = logging.getLogger(__name__)

#: The symbols mlx calls -> their names in `scipy-openblas32`.
_NAMES = {f"cblas_{kind}gemm": f"scipy_cblas_{kind}gemm" for kind in "sdc"}

_loaded: Path | None = None
_fault: Exception | None = None


def preload_blas(*, num_threads: int | None = None, is_logged: bool = True) -> Path | None:
    """Load OpenBLAS on Linux, unless mlx is already imported, and log its path.

    Args:
        num_threads: Threads of a matrix product; `None`: `OPENBLAS_NUM_THREADS`, or one per core.
        is_logged: False to leave the log to a later `log_blas`.

    Returns:
        The library's path; `None` if it is not installed or not needed.
    """
    global _loaded, _fault  # noqa: PLW0603  # loaded once per process
    if sys.platform != "linux" or "mlx.core" in sys.modules or _loaded:
        return _loaded
    if num_threads is not None:
        os.environ["OPENBLAS_NUM_THREADS"] = str(num_threads)  # read once, when it is loaded
    try:
        found = _packaged()
        load_aliases(found, _NAMES)
        _loaded, _fault = found, None
    except (OSError, AttributeError) as exc:
        _fault = exc
    if is_logged:
        log_blas()
    return _loaded


def log_blas() -> None:
    """Log the path of OpenBLAS, or why it was not loaded."""
    if _loaded:
        logger.info("BLAS: %s", _loaded)
    elif _fault:
        logger.warning(
            "BLAS: %s, so mlx uses its slow reference BLAS; `pip install scipy-openblas32` makes "
            "prefill on a CPU many times faster",
            _fault,
        )


def _packaged() -> Path:
    """Return the path of the library inside the package `scipy-openblas32`.

    Raises:
        OSError: The package is not installed.
    """
    spec = importlib.util.find_spec("scipy_openblas32")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for library in Path(place, "lib").glob("libscipy_openblas*.so"):
            return library
    raise FileNotFoundError("no OpenBLAS found")
