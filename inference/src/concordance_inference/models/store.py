"""Models that were downloaded by Concordance, and those that other programs keep.

The store has a folder for each model, named as on the hub: `mlx-community/Qwen3-4B-4bit`.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

#: Where LM Studio keeps models, also in folders of the owner and the name; the second is older.
_LM_STUDIO = ("~/.lmstudio/models", "~/.cache/lm-studio/models")


def store_folder() -> Path:
    """Return the folder of downloaded models: `$CONCORDANCE_STORE`, or the platform's default."""
    if chosen := os.environ.get("CONCORDANCE_STORE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/concordance/models").expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "concordance" / "models"


def stored_model(name: str) -> Path | None:
    """Return the folder of a model in the store; `None` if it is not there."""
    return model_in(store_folder(), name)


def lm_studio_model(name: str) -> Path | None:
    """Return a model in LM Studio's folder, a folder or a GGUF file; `None` if it is not there."""
    roots = (Path(root).expanduser() for root in _LM_STUDIO)
    return next((found for root in roots if (found := model_in(root, name))), None)


def stored_names() -> Iterator[str]:
    """Return the names of the models in the store."""
    yield from _names_in(store_folder())


def lm_studio_names() -> Iterator[str]:
    """Return the names of the models in LM Studio's folder."""
    for root in _LM_STUDIO:
        yield from _names_in(Path(root).expanduser())


def model_in(root: Path, name: str) -> Path | None:
    """Return the model of a folder of models: a folder, or the only GGUF file of one.

    Args:
        root: The folder of models.
        name: `OWNER/NAME`.
    """
    if not is_hub_id(name):
        return None
    folder = root / name
    if is_model_folder(folder):
        return folder
    files = [path for path in folder.glob("*.gguf") if "mmproj" not in path.name.lower()]
    return files[0] if len(files) == 1 else None


def is_hub_id(name: str) -> bool:
    """True for `OWNER/NAME`, which cannot lead out of a folder."""
    parts = name.split("/")
    return len(parts) == 2 and all(part and part[0] != "." and "\0" not in part for part in parts)


def is_model_folder(folder: Path) -> bool:
    """True if a folder has all of its weights and the name of an architecture."""
    try:
        if "model_type" not in msgspec.json.decode((folder / "config.json").read_bytes()):
            return False
        index = folder / "model.safetensors.index.json"
        if index.is_file():
            files = set(msgspec.json.decode(index.read_bytes())["weight_map"].values())
            return all((folder / name).is_file() for name in files)
        return any(folder.glob("model*.safetensors"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False


def _names_in(root: Path) -> Iterator[str]:
    try:
        folders = sorted(root.glob("*/*"))
    except OSError:
        return
    for folder in folders:
        name = f"{folder.parent.name}/{folder.name}"
        if model_in(root, name):
            yield name
