"""Downloads models from the Hugging Face hub into the store."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from concordance_shared import ModelLoadError

from concordance_inference.models.store import is_hub_id, is_model_folder, store_folder

#: Seconds between two reports of progress.
_REPORT_S = 1.0


def _allowed_files() -> list[str]:
    """Return the patterns of the files that a model needs."""
    from mlx_lm.utils import DEFAULT_ALLOW_PATTERNS  # noqa: PLC0415  # slow to import

    return list(DEFAULT_ALLOW_PATTERNS)


def hub_snapshot(name: str) -> Path | None:
    """Return the folder of a model in the hub's cache; never uses the network."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415  # slow to import
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        found = snapshot_download(name, allow_patterns=_allowed_files(), local_files_only=True)
    except (LocalEntryNotFoundError, HFValidationError, OSError, ValueError):
        return None
    return Path(found) if is_model_folder(Path(found)) else None


def hub_names() -> list[str]:
    """Return the names of the models in the hub's cache that mlx-lm could load."""
    from huggingface_hub import constants, scan_cache_dir  # noqa: PLC0415  # slow to import
    from huggingface_hub.errors import CacheNotFound  # noqa: PLC0415

    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    return sorted(
        repo.repo_id
        for repo in repos
        if repo.repo_type == "model"
        and any(is_model_folder(revision.snapshot_path) for revision in repo.revisions)
    )


def download_model(name: str, *, progress: Callable[[str], None]) -> Path:
    """Download a model into the store; return its folder.

    A download that was interrupted is continued.

    Args:
        name: Its id on the hub.
        progress: Called with a message each second.

    Raises:
        ModelLoadError: The hub has no such model, or no model that mlx-lm can load.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415  # slow to import
    from huggingface_hub.errors import DryRunError  # noqa: PLC0415

    if not is_hub_id(name):
        raise ModelLoadError(f"{name!r} is not an id on the hub, which is OWNER/NAME")
    folder = store_folder() / name
    partial = folder.with_name(f".{folder.name}.partial")
    report = _Report(name, progress)
    options: dict[str, Any] = {
        "allow_patterns": _allowed_files(),
        "local_dir": partial,
        "tqdm_class": report.bar_class(),
    }
    try:
        files: Any = snapshot_download(name, **options, dry_run=True)  # fails if there is no hub
    except DryRunError as exc:
        raise exc.__cause__ or exc from exc
    partial.mkdir(parents=True, exist_ok=True)
    report.total = sum(file.file_size for file in files if file.will_download)
    snapshot_download(name, **options)
    if not is_model_folder(partial):
        raise ModelLoadError(
            f"{name} on the hub has no config.json or no model*.safetensors, so it is not a model "
            "in mlx-lm's format"
        )
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    if folder.is_dir():
        shutil.rmtree(folder)
    partial.replace(folder)
    return folder


def remove_model(name: str) -> int:
    """Delete a model from the store and the hub's cache; return the bytes that were freed.

    Raises:
        ModelLoadError: It is in neither.
    """
    from huggingface_hub import constants, scan_cache_dir  # noqa: PLC0415  # slow to import
    from huggingface_hub.errors import CacheNotFound  # noqa: PLC0415

    freed = 0
    folder = store_folder() / name
    for kept in (folder, folder.with_name(f".{folder.name}.partial")):
        if is_hub_id(name) and kept.is_dir():
            freed += sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
            shutil.rmtree(kept)
    try:
        cache = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        cache = None
    revisions = [
        revision.commit_hash
        for repo in (cache.repos if cache else ())
        if repo.repo_id == name and repo.repo_type == "model"
        for revision in repo.revisions
    ]
    if cache and revisions:
        strategy = cache.delete_revisions(*revisions)
        freed += strategy.expected_freed_size
        strategy.execute()
    if not freed:
        raise ModelLoadError(
            f"{name!r} is neither in the store {store_folder()} nor in the hub's cache; "
            "`concordance models` lists what is there"
        )
    return freed


class _Report:
    """Reports how many of the `total` bytes have arrived."""

    def __init__(self, name: str, progress: Callable[[str], None]) -> None:
        self.total = 0
        self._name = name
        self._progress = progress
        self._lock = threading.Lock()
        self._done = 0
        self._next = time.monotonic()

    def add(self, num_bytes: float) -> None:
        """Count bytes that have arrived, and report after each second."""
        with self._lock:
            self._done += int(num_bytes)
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + _REPORT_S
        share = min(self._done / self.total, 1) if self.total else 1
        self._progress(f"downloading {self._name}: {share:.0%} of {self.total / 1e9:.3g} GB")

    def bar_class(self) -> type:
        """The class of progress bars for the hub's library; they print nothing."""
        from huggingface_hub.utils import tqdm  # noqa: PLC0415  # slow to import

        add = self.add

        class Bar(tqdm):  # type: ignore[type-arg,misc]
            """A progress bar that is not shown."""

            def __init__(self, *args: Any, **options: Any) -> None:
                options.pop("name", None)
                self._is_of_bytes = options.get("unit") == "B"
                super().__init__(*args, **{**options, "disable": True})

            def update(self, n: float | None = 1) -> bool | None:
                """Count bytes."""
                if self._is_of_bytes and n:
                    add(n)
                return super().update(n)

        return Bar
