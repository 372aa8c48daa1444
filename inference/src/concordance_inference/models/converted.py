"""Cache of converted GGUF files."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import mlx.core as mx
import msgspec
from concordance_shared import ModelLoadError

from concordance_inference.models.cache_folder import cache_folder
from concordance_inference.models.gguf import Progress, Weights, convert_gguf, num_parameters

#: Lists a converted folder's files with their sizes.
_SIZES = "concordance-files.json"

#: Part of the folder's name; increment it when the conversion changes.
_CONVERSION = 2

#: Models of up to this many parameters run in float32 on a CPU, which is fastest there.
SMALL = 1_000_000_000

#: A file is identified by its size, its mtime, and this many evenly spread samples of its content.
_SAMPLES, _SAMPLE_BYTES = 32, 1 << 14


def converted(gguf: Path, *, progress: Progress) -> Path:
    """Return the cached folder of a GGUF file in mlx-lm's format; convert the file if needed.

    A cached folder in which a file is missing or truncated is replaced.

    Raises:
        ModelLoadError: The file cannot be converted, or the result cannot be written.
    """
    try:
        folder = converted_folder(gguf)
        if not _is_whole(folder):
            _convert_into(folder, gguf, weights=_weights(gguf, _device()), progress=progress)
    except OSError as exc:
        raise ModelLoadError(
            f"{gguf} cannot be converted into the cache folder {cache_folder()}: {exc}; the "
            "environment variable CONCORDANCE_CACHE names another folder"
        ) from exc
    return folder


def converted_folder(gguf: Path) -> Path:
    """Return the folder that `converted` returns, which may not exist yet.

    Raises:
        OSError: The file cannot be read.
    """
    return cache_folder() / "models" / f"{gguf.stem}-{_identity(gguf)}-{_device()}-{_CONVERSION}"


def _device() -> str:
    return "cpu" if mx.default_device() == mx.cpu else "gpu"


def is_converted(folder: Path) -> bool:
    """True if `converted` created the folder, so that it is safe to delete."""
    try:
        return folder.parent == cache_folder() / "models"
    except RuntimeError:  # no home folder
        return False


def _weights(gguf: Path, device: str) -> Weights:
    """Return the weight format that is fastest on a device and fits its memory."""
    return "float32" if device == "cpu" and num_parameters(gguf) <= SMALL else "quantized"


def _identity(gguf: Path) -> str:
    """Return a hash of a file's content: different models often share a name and a size."""
    stat = gguf.stat()
    digest = hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    with gguf.open("rb") as file:
        for sample in range(_SAMPLES):
            file.seek(stat.st_size * sample // _SAMPLES)
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]


def _sizes(folder: Path) -> dict[str, int]:
    """Return the files of a folder with their sizes in bytes, without `_SIZES` itself."""
    files = (path for path in folder.iterdir() if path.name != _SIZES)
    return {path.name: path.stat().st_size for path in files}


def _is_whole(folder: Path) -> bool:
    """True if every file listed in `_SIZES` is present with its full size."""
    try:
        known = msgspec.json.decode((folder / _SIZES).read_bytes(), type=dict[str, int])
        return known.items() <= _sizes(folder).items()
    except (OSError, ValueError):  # msgspec's errors are `ValueError`s
        return False


def _convert_into(folder: Path, gguf: Path, *, weights: Weights, progress: Progress) -> None:
    """Convert into a temporary folder and rename it, so that readers never see a partial one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        convert_gguf(gguf, made, weights=weights, progress=progress)
        (made / _SIZES).write_bytes(msgspec.json.encode(_sizes(made)))
        if folder.is_dir() and not _is_whole(folder):
            shutil.rmtree(folder)
        made.rename(folder)
    except OSError:
        if not _is_whole(folder):  # otherwise another process finished first
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
