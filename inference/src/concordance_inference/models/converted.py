"""Converted GGUF files, kept in the cache folder."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import mlx.core as mx
import msgspec
from concordance_shared import ModelLoadError

from concordance_inference.models.cache_folder import cache_folder
from concordance_inference.models.gguf import Progress, Weights, convert_gguf, num_parameters

#: The list of a converted folder's files and their sizes.
_SIZES = "concordance-files.json"

#: Part of the cache folder's name; raise it when the conversion changes.
_CONVERSION = 2

#: Models up to this many parameters run in float32 on the CPU: what its BLAS is fast at.
SMALL = 1_000_000_000

#: A file is known by so many pieces of so many bytes, spread over it, beside its size and time.
_PIECES, _PIECE_BYTES = 32, 1 << 14


def converted(gguf: Path, *, progress: Progress) -> Path:
    """The folder of a GGUF file in mlx-lm's format, made once and kept in the cache folder.

    A folder that lacks a file, or a part of one, is made again.

    Raises:
        ModelLoadError: The file cannot be converted, or the result cannot be written.
    """
    device = "cpu" if mx.default_device() == mx.cpu else "gpu"
    try:
        folder = cache_folder() / "models" / f"{gguf.stem}-{_identity(gguf)}-{device}-{_CONVERSION}"
        if not _is_whole(folder):
            _convert_into(folder, gguf, weights=_weights(gguf, device), progress=progress)
    except OSError as exc:
        raise ModelLoadError(
            f"{gguf} cannot be converted into the cache folder {cache_folder()}: {exc}; the "
            "environment variable CONCORDANCE_CACHE names another folder"
        ) from exc
    return folder


def is_converted(folder: Path) -> bool:
    """Whether a folder is one that `converted` made: it can be deleted without a loss."""
    try:
        return folder.parent == cache_folder() / "models"
    except RuntimeError:  # no home folder
        return False


def _weights(gguf: Path, device: str) -> Weights:
    """The form that a device is fast at and has the memory for."""
    return "float32" if device == "cpu" and num_parameters(gguf) <= SMALL else "quantized"


def _identity(gguf: Path) -> str:
    """A name for a file's content; two files of one name and size are often two models."""
    stat = gguf.stat()
    digest = hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    with gguf.open("rb") as file:
        for piece in range(_PIECES):
            file.seek(stat.st_size * piece // _PIECES)
            digest.update(file.read(_PIECE_BYTES))
    return digest.hexdigest()[:16]


def _sizes(folder: Path) -> dict[str, int]:
    """The sizes of a folder's files in bytes, by name, without the list of them."""
    files = (path for path in folder.iterdir() if path.name != _SIZES)
    return {path.name: path.stat().st_size for path in files}


def _is_whole(folder: Path) -> bool:
    """Whether a folder has every file that was written into it, each in its full size."""
    try:
        known = msgspec.json.decode((folder / _SIZES).read_bytes(), type=dict[str, int])
        return known.items() <= _sizes(folder).items()
    except (OSError, ValueError):  # msgspec's errors are `ValueError`s
        return False


def _convert_into(folder: Path, gguf: Path, *, weights: Weights, progress: Progress) -> None:
    """Convert beside the folder, then rename: whoever looks sees all of it or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        convert_gguf(gguf, made, weights=weights, progress=progress)
        (made / _SIZES).write_bytes(msgspec.json.encode(_sizes(made)))
        if folder.is_dir() and not _is_whole(folder):
            shutil.rmtree(folder)
        made.rename(folder)
    except OSError:
        if not _is_whole(folder):  # else another process was quicker
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
