"""Loads a fast BLAS before mlx does its own, on Linux without a GPU.

mlx's wheel for Linux CPUs is linked to the reference BLAS, whose matrix products are one to two
orders of magnitude slower than OpenBLAS's. mlx calls them by name, so a function that is found
under that name before `mlx.core` is imported answers instead. `scipy-openblas32`, a dependency of
ours on Linux, carries an OpenBLAS that chooses its code by the processor it finds; its names have
a prefix, which aliases take away.
"""

import importlib.util
import logging
import sys
from pathlib import Path

from concordance_inference.models.alias_library import load_aliases

logger = logging.getLogger(__name__)

#: What mlx calls, and what OpenBLAS's package calls it.
_NAMES = {f"cblas_{kind}gemm": f"scipy_cblas_{kind}gemm" for kind in "sdc"}

_loaded: Path | None = None


def preload_blas() -> Path | None:
    """Load an OpenBLAS, if this is Linux and mlx is not imported yet; say which in the log.

    Returns:
        Where it was found; `None` if there is none, or none is needed.
    """
    global _loaded  # noqa: PLW0603  # a process loads it once
    if sys.platform != "linux" or "mlx.core" in sys.modules or _loaded:
        return _loaded
    try:
        _loaded = _packaged()
        load_aliases(_loaded, _NAMES)
    except (OSError, AttributeError) as exc:
        _loaded = None
        logger.warning(
            "BLAS: %s, so mlx uses its slow reference BLAS; `pip install scipy-openblas32` makes "
            "prompts on a CPU many times faster",
            exc,
        )
        return None
    logger.info("BLAS: %s", _loaded)
    return _loaded


def _packaged() -> Path:
    """The library inside the package `scipy-openblas32`.

    Raises:
        OSError: The package is not installed.
    """
    spec = importlib.util.find_spec("scipy_openblas32")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for library in Path(place, "lib").glob("libscipy_openblas*.so"):
            return library
    raise FileNotFoundError("no OpenBLAS found")
