"""Process-wide settings of the tests, made before mlx is imported."""

import os
import sys
import tempfile
from pathlib import Path

if sys.dont_write_bytecode:
    # Each worker and each process that a test starts imports thousands of modules, and compiles
    # them again if no bytecode is written. It stays out of the source tree, as the variable asks.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

# Servers that tests start make keys here, and not in the user's folder.
os.environ["CONCORDANCE_STATE"] = tempfile.mkdtemp(prefix="concordance-state-")
os.environ.pop("CONCORDANCE_API_KEY", None)

import anyio.from_thread
import pytest
from concordance_inference.models.blas import preload_blas
from concordance_inference.models.precision import disable_tf32
from hypothesis import settings
from starlette.testclient import TestClient

preload_blas()
disable_tf32()  # tests compare float32 logits; on CUDA and the M5, mlx would round them to TF32

# No test depends on how fast the machine is.
settings.register_profile("concordance", deadline=None)
settings.load_profile("concordance")


@pytest.fixture(scope="session", autouse=True)
def _one_event_loop():
    """Let all clients of applications share a loop; each request would start one, with a thread."""
    with anyio.from_thread.start_blocking_portal() as portal:
        TestClient.portal = portal
        yield
        TestClient.portal = None
