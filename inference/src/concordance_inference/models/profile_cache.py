"""Keeps on disk what was found out about a model by running it.

Profiling takes longer than everything else that a command does before its first token. A profile
holds for one content of the model's files, one machine, and one version of everything that was
run, which are its key. A file that cannot be read is one that is not there.
"""

import hashlib
import logging
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
import msgspec

import concordance_inference
from concordance_inference.engine.model.calibration.profile import ModelProfile
from concordance_inference.models.cache_folder import cache_folder

logger = logging.getLogger(__name__)

#: Files whose content is hashed; of others, which hold weights, size and time are.
_SMALL_FILE = 1 << 20

_PACKAGES = ("mlx", "mlx-lm", "concordance-inference")

#: Settings by which a model may compute something else.
_VARIABLES = ("MLX_", "OPENBLAS_", "OMP_")


class _Entry(msgspec.Struct, frozen=True):
    """A file of the cache. The key is part of it: names of files are hashes."""

    key: str
    profile: ModelProfile


def cached_profile(folders: Sequence[Path], measure: Callable[[], ModelProfile]) -> ModelProfile:
    """The profile of a model, measured once and kept in the cache folder.

    Several processes may do this at the same time: each writes a whole file, and the last one's
    stays.

    Args:
        folders: Where its files are: the model's folder, and that of adapters. Nothing is kept if
            they are not known.
        measure: Finds the profile by running the model.
    """
    if not folders:
        return measure()
    try:
        key = _key(folders)
        path = cache_folder() / "profiles" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    except (OSError, RuntimeError) as exc:  # no home folder: RuntimeError
        logger.info("the model's profile is not kept: %s", exc)
        return measure()
    profile = _read(path, key)
    if profile is None:
        profile = measure()
        _write(path, _Entry(key, profile))
    return profile


def _read(path: Path, key: str) -> ModelProfile | None:
    try:
        entry = msgspec.json.decode(path.read_bytes(), type=_Entry)
    except (OSError, ValueError, RecursionError):  # msgspec's errors are `ValueError`s
        return None
    return entry.profile if entry.key == key and _is_sane(entry.profile) else None


def _is_sane(profile: ModelProfile) -> bool:
    """Whether the numbers can be those of a measurement."""
    cost, footprint = profile.cost, profile.footprint
    times = (cost.fixed, cost.per_token, cost.per_attended)
    sizes = (footprint.per_token, footprint.per_slot, footprint.per_row)
    return min(*times, *sizes) >= 0 and cost.per_token > 0 and footprint.growth >= 1


def _write(path: Path, entry: _Entry) -> None:
    """Write beside the file, then rename: whoever reads sees all of it or nothing."""
    made: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        made = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(entry))
        made.replace(path)
    except OSError as exc:
        logger.info("the model's profile is not kept: %s", exc)
        if made:
            with suppress(OSError):
                made.unlink(missing_ok=True)


def _key(folders: Sequence[Path]) -> str:
    """Everything that a profile depends on, as text."""
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
    """What each file of a folder is known by."""
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        stat = path.stat()
        if stat.st_size <= _SMALL_FILE and path.suffix != ".safetensors":
            yield f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        else:
            yield f"{path.name} {stat.st_size} {stat.st_mtime_ns}"


def _own_code() -> Iterator[str]:
    """The engine's own files: a checkout changes without its version."""
    for path in sorted((Path(concordance_inference.__file__).parent / "engine").rglob("*.py")):
        stat = path.stat()
        yield f"{path.name} {stat.st_size} {stat.st_mtime_ns}"


def _machine() -> Iterator[str]:
    """What runs the model."""
    yield f"{platform.system()} {platform.machine()} {platform.processor()} {os.cpu_count()}"
    info = mx.device_info()  # on some devices, how much memory is free is part of it
    yield f"{mx.default_device()} {info.get('architecture')} {info.get('device_name')}"
