"""Where a model is: the order in which places are searched, without the network where possible.

1. the embedded default, a folder, or a GGUF file
2. the store of downloaded models
3. the cache of the Hugging Face hub's library
4. LM Studio's folder
5. the hub, from which the model is downloaded into the store
"""

from collections.abc import Callable
from pathlib import Path

from concordance_shared import ModelLoadError

from concordance_inference.models.converted import converted, converted_folder
from concordance_inference.models.download import download_model, hub_snapshot
from concordance_inference.models.embedded import (
    DEFAULT_HUB_ID,
    DEFAULT_MODEL,
    PACKAGE,
    embedded_gguf,
)
from concordance_inference.models.embedded_fetch import fetch_embedded
from concordance_inference.models.store import lm_studio_model, stored_model


def default_id(name: str | None) -> str:
    """Return the id in requests of a model that has not been given one, without loading it."""
    if name is None:
        return DEFAULT_MODEL
    try:
        path = Path(name).expanduser()
        if path.suffix == ".gguf":
            return path.stem
        return path.resolve().name if path.is_dir() else name
    except (OSError, ValueError, RuntimeError):  # it is no path
        return name


def local_model(name: str | None) -> Path | None:
    """Return a folder or a GGUF file on this machine; `None` if the model has to be downloaded.

    Args:
        name: A folder, a GGUF file, or an id on the hub; `None` for the embedded default.

    Raises:
        ModelLoadError: It is a path, and there is no model.
    """
    if name is None or name == DEFAULT_MODEL:
        return embedded_gguf() or _by_id(DEFAULT_HUB_ID)
    return _at_path(name) or _by_id(name)


def model_folder(name: str | None, *, progress: Callable[[str], None]) -> Path:
    """Return the folder of a model; convert or download it if needed.

    Args:
        name: As for `local_model`.
        progress: Called with a message at each stage.

    Raises:
        ModelLoadError: There is no such model, or it cannot be converted or downloaded.
    """
    if name is None or name == DEFAULT_MODEL:
        found = local_model(name) or fetch_embedded(progress)
        if found is None:
            progress(
                f"the wheel {PACKAGE} cannot be fetched; loading {DEFAULT_HUB_ID} from the hub"
            )
        name = DEFAULT_HUB_ID
    else:
        found = local_model(name)
    if found is None:
        return download_model(name, progress=progress)
    return converted(found, progress=progress) if found.suffix == ".gguf" else found


def present_folder(name: str | None) -> Path | None:
    """Return the folder of a model if it is there, converted and complete.

    Raises:
        ModelLoadError: It is a path, and there is no model.
    """
    found = local_model(name)
    if found is None or found.suffix != ".gguf":
        return found
    folder = converted_folder(found)
    return folder if folder.is_dir() else None


def _at_path(name: str) -> Path | None:
    """A folder or a GGUF file; `None` if the name can be an id on the hub.

    Raises:
        ModelLoadError: The name is a path, and there is no model.
    """
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return path
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelLoadError(
                f"{path} has no config.json, so it is not a model in mlx-lm's format"
            )
        return path
    if path.exists():
        raise ModelLoadError(f"{path} is not a GGUF file; a model is a folder or NAME.gguf")
    if path.suffix == ".gguf" or path.is_absolute() or name.startswith((".", "~")):
        raise ModelLoadError(f"there is no folder or GGUF file at {path}")
    return None


def _by_id(hub_id: str) -> Path | None:
    return stored_model(hub_id) or hub_snapshot(hub_id) or lm_studio_model(hub_id)
