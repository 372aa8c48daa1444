"""Where a model is: the order in which places are searched, without the network where possible.

1. the embedded default, a folder, or a GGUF file
2. the store of downloaded models
3. the cache of the Hugging Face hub's library
4. LM Studio's folder
5. the hub, from which the model is downloaded into the store
"""

from collections.abc import Callable
from pathlib import Path

from concordance_inference.models.converted import converted, converted_folder
from concordance_inference.models.download import download_model, hub_snapshot
from concordance_inference.models.embedded import (
    DEFAULT_HUB_ID,
    DEFAULT_MODEL,
    PACKAGE,
    embedded_gguf,
)
from concordance_inference.models.embedded_fetch import fetch_embedded
from concordance_inference.models.given_names import model_at
from concordance_inference.models.store import lm_studio_model, stored_model


def local_model(name: str | None) -> Path | None:
    """Return a folder or a GGUF file on this machine; `None` if the model has to be downloaded.

    Args:
        name: A folder, a GGUF file, or an id on the hub; `None` for the embedded default.

    Raises:
        ModelLoadError: It is a path, and there is no model.
    """
    if name is None or name == DEFAULT_MODEL:
        return embedded_gguf() or _by_id(DEFAULT_HUB_ID)
    return model_at(name) or _by_id(name)


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


def _by_id(hub_id: str) -> Path | None:
    return stored_model(hub_id) or hub_snapshot(hub_id) or lm_studio_model(hub_id)
