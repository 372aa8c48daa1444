"""Loading OpenBLAS before mlx."""

import os
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

PRELOAD = """
import logging
logging.basicConfig(level="INFO")
from concordance_inference.models.blas import preload_blas
assert preload_blas() and preload_blas()
"""
PRODUCT = """
import mlx.core as mx
a, b = mx.random.normal((64, 64)), mx.random.normal((64, 64))
mx.eval(a @ b)
"""

#: The dynamic linker's debug output for the binding of `cblas_sgemm`.
BOUND = re.compile(r"binding file \S*/libmlx\.so \S+ to (\S+) \S+ normal symbol `cblas_sgemm'")


def product(preload):
    """Return the libraries that mlx's `cblas_sgemm` was bound to, and the log."""
    done = subprocess.run(
        [sys.executable, "-c", preload + PRODUCT],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LD_DEBUG": "bindings"},
    )
    return BOUND.findall(done.stderr), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the preload is for Linux")
def test_preload_makes_mlx_call_openblas():
    ours, log = product(PRELOAD)
    theirs, _ = product("")

    assert re.search(r"INFO:\S*blas\.preload:BLAS: .*openblas", log)
    assert ["/proc/self/fd" in library for library in ours] == [True]
    assert ["libblas" in library for library in theirs] == [True]


COUNT = """
import ctypes
from concordance_inference.models.blas import preload_blas
library = preload_blas(num_threads={num_threads})
print(ctypes.CDLL(str(library)).scipy_openblas_get_num_threads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the preload is for Linux")
@pytest.mark.parametrize(("num_threads", "variable", "found"), [(1, "2", "1"), (None, "1", "1")])
def test_the_number_of_threads_is_the_option_or_that_of_openblas(num_threads, variable, found):
    done = subprocess.run(
        [sys.executable, "-c", COUNT.format(num_threads=num_threads)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": variable},
    )
    assert done.stdout.strip() == found


def test_preload_does_nothing_after_mlx_is_imported():
    code = (
        "import mlx.core\n"
        "from concordance_inference.models.blas import preload_blas\n"
        "assert preload_blas() is None"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="the preload is for Linux")
def test_preload_without_the_package_logs_how_to_install_it():
    code = (
        "import logging, sys\n"
        "logging.basicConfig()\n"
        "sys.modules['scipy_openblas32'] = None\n"
        "from concordance_inference.models.blas import preload_blas\n"
        "assert preload_blas() is None"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "no OpenBLAS found" in done.stderr
    assert "pip install scipy-openblas32" in done.stderr
