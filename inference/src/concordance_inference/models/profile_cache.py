"""Cache of model profiles on disk.

Profiling takes longer than anything else that a command does before its first token. The cache key
consists of the model's files, the machine, and the versions of all code that runs the model. An
unreadable cache file counts as a miss.
"""

import hashlib
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
import msgspec

from concordance_inference.engine.model.calibration.profile import ModelProfile
from concordance_inference.models.cache_folder import cache_folder

logger = logging.getLogger(__name__)

#: Files up to this many bytes are hashed by content; larger ones, and weights, by size and mtime.
_SMALL_FILE = 1 << 20

_PACKAGES = ("mlx", "mlx-lm", "concordance-inference")

#: Prefixes of environment variables that change how a model is computed.
_VARIABLES = ("MLX_", "OPENBLAS_", "OMP_")


#: A profile that was measured on a busy machine is used for this long, then measured again.
_UNSTEADY_S = 3600.0


class _Entry(msgspec.Struct, frozen=True):
    """Content of a cache file. File names are hashes, so the full key is stored too."""

    key: str
    profile: ModelProfile


def cached_profile(folders: Sequence[Path], measure: Callable[[], ModelProfile]) -> ModelProfile:
    """Return a model's profile from the cache, or measure and cache it.

    Safe for several processes at the same time: each writes a whole file, and the last one wins.

    Args:
        folders: The model's folder, and that of its adapters; without any, nothing is cached.
        measure: Runs the model and returns its profile.
    """
    if not folders:
        return measure()
    try:
        key = _key(folders)
        path = cache_folder() / "profiles" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    except (OSError, RuntimeError) as exc:  # no home folder: RuntimeError
        logger.info("the model's profile is not cached: %s", exc)
        return measure()
    profile = _read(path, key)
    if profile is None:
        profile = measure()
        _write(path, _Entry(key, profile))
    return profile


def _read(path: Path, key: str) -> ModelProfile | None:
    try:
        entry = msgspec.json.decode(path.read_bytes(), type=_Entry)
        age_s = time.time() - path.stat().st_mtime
    except (OSError, ValueError, RecursionError):  # msgspec's errors are `ValueError`s
        return None
    if not entry.profile.is_steady and age_s > _UNSTEADY_S:
        return None
    return entry.profile if entry.key == key and _is_sane(entry.profile) else None


def _is_sane(profile: ModelProfile) -> bool:
    """True if the numbers can come from a measurement."""
    cost, footprint = profile.cost, profile.footprint
    times = (cost.fixed, cost.per_token, cost.per_attended)
    sizes = (footprint.per_token, footprint.per_slot, footprint.per_row)
    return min(*times, *sizes) >= 0 and cost.per_token > 0 and footprint.growth >= 1


def _write(path: Path, entry: _Entry) -> None:
    """Write a temporary file and rename it, so that readers never see a partial one."""
    made: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        made = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(entry))
        made.replace(path)
    except OSError as exc:
        logger.info("the model's profile is not cached: %s", exc)
        if made:
            with suppress(OSError):
                made.unlink(missing_ok=True)


def _key(folders: Sequence[Path]) -> str:
    """Return everything that a profile depends on, as text."""
    lines = [line for folder in folders for line in _files(folder)]
    lines += [f"{name} {version(name)}" for name in _PACKAGES]
    lines += [*_own_code(), *_machine()]
    lines += [
        f"{name}={value}"
        for name, value in sorted(os.environ.items())
        if name.startswith(_VARIABLES)
    ]
    return "\n".join(lines)


def _files(folder: Path) -> Iterator[str]:
    """Yield a fingerprint of each file of a folder."""
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        stat = path.stat()
        if stat.st_size <= _SMALL_FILE and path.suffix != ".safetensors":
            yield f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        else:
            yield f"{path.name} {stat.st_size} {stat.st_mtime_ns}"


def _own_code() -> Iterator[str]:
    """Yield a fingerprint of each engine module: a checkout changes without its version."""
    for path in sorted((Path(__file__).parent.parent / "engine").rglob("*.py")):
        stat = path.stat()
        yield f"{path.name} {stat.st_size} {stat.st_mtime_ns}"


def _machine() -> Iterator[str]:
    """Yield the identity of the CPU and the device."""
    yield f"{platform.system()} {platform.machine()} {platform.processor()} {os.cpu_count()}"
    info = mx.device_info()  # the other fields include free memory on some devices
    yield f"{mx.default_device()} {info.get('architecture')} {info.get('device_name')}"
