"""What computes the completions of a model: its files, the engine, MLX, and the device."""

import hashlib
import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx

logger = logging.getLogger(__name__)

#: Files whose content or ends are hashed; others, such as a README, change no token.
_SUFFIXES = frozenset({".json", ".jinja", ".model", ".safetensors", ".txt", ".tiktoken"})

#: Files up to this many bytes are hashed whole; of larger ones, the size and both ends.
_WHOLE = 16 << 20
_END = 1 << 16


def build_of(folders: Sequence[Path]) -> Mapping[str, str]:
    """Return what a completion depends on besides its request.

    Args:
        folders: The model's folder, and that of its adapters.

    Returns:
        `model`: a hash of the files; `concordance` and `mlx`: versions; `device`: the device, with
        the kind of machine.
    """
    info = mx.device_info()
    device = f"{mx.default_device().type.name} {info.get('architecture') or platform.machine()}"
    return {
        "model": model_hash(folders),
        "concordance": version("concordance-inference"),
        "mlx": version("mlx"),
        "device": device,
    }


def model_hash(folders: Sequence[Path]) -> str:
    """Return a hash of a model's files, equal for copies of them; empty if they cannot be read."""
    digest = hashlib.sha256()
    try:
        for path in (path for folder in folders for path in sorted(folder.iterdir())):
            if path.suffix in _SUFFIXES and path.is_file():
                digest.update(path.name.encode())
                for piece in _pieces(path):
                    digest.update(piece)
    except OSError as exc:
        logger.info("the model has no hash: %s", exc)
        return ""
    return f"sha256:{digest.hexdigest()[:16]}"


def _pieces(path: Path) -> Iterator[bytes]:
    """Yield what is hashed of a file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE:
            yield file.read()
            return
        yield f"{size}".encode()
        yield file.read(_END)
        file.seek(-_END, 2)
        yield file.read(_END)
