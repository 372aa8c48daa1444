"""The BLAS that is loaded before mlx."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

PRODUCT = """
import time
{preload}
import mlx.core as mx
a, b = mx.random.normal((256, 512)), mx.random.normal((512, 512))
mx.eval(a, b, a @ b)
def run():
    start = time.perf_counter()
    mx.eval(a @ b)
    return time.perf_counter() - start
print(min(run() for _ in range(5)), float(mx.abs(a @ b).sum().item()))
"""


def product(preload):
    done = subprocess.run(
        [sys.executable, "-c", PRODUCT.format(preload=preload)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, _ = done.stdout.split()
    return float(seconds), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the preload is for Linux")
def test_products_are_those_of_another_library_after_the_preload():
    """Not a benchmark: OpenBLAS is tens of times faster, so twice tells it from the other."""
    preload = (
        "import logging; logging.basicConfig(level='INFO')\n"
        "from concordance_inference.models.blas import preload_blas\n"
        "assert preload_blas() and preload_blas()"
    )
    fast, log = product(preload)
    slow, _ = product("")

    assert "BLAS:" in log
    assert "openblas" in log
    assert fast < slow / 2


def test_after_mlx_is_imported_nothing_is_loaded():
    code = (
        "import mlx.core\n"
        "from concordance_inference.models.blas import preload_blas\n"
        "assert preload_blas() is None"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
