"""The memory that a model needs, without loading it."""

from pathlib import Path
from typing import Any, cast

import mlx.core as mx
from concordance_shared import ModelLoadError
from mlx.utils import tree_flatten
from msgspec import Struct

from concordance_inference.engine.caches.budget import Footprint
from concordance_inference.engine.model.calibration.profile import footprint_of
from concordance_inference.models.context_length import context_length
from concordance_inference.models.converted import converted_folder
from concordance_inference.models.embedded import DEFAULT_MODEL, embedded_gguf
from concordance_inference.models.loader import explained, unread_model
from concordance_inference.models.options import ModelOptions


class ModelSize(Struct, frozen=True, kw_only=True):
    """The size of a model's weights and caches, and the length of its context."""

    weight_bytes: int
    footprint: Footprint  # of its caches
    context_length: int


def model_size(folder: Path, options: ModelOptions) -> ModelSize:
    """Return the size of the model in a folder, as it runs on this device; reads no weights.

    Raises:
        ModelLoadError: The model is not complete, or the device cannot run it.
    """
    model, config = unread_model(folder, options)
    arrays = cast(list[tuple[str, mx.array]], tree_flatten(model.parameters()))
    with explained(f"the model in {folder} cannot be run"):
        return ModelSize(
            weight_bytes=sum(array.nbytes for _, array in arrays),
            footprint=footprint_of(model),
            context_length=context_length(model, config, chosen=options.context_length),
        )


def local_folder(name: str | None) -> Path | None:
    """Return the folder of a model on this machine.

    `None` if it would be downloaded, or converted from a GGUF file, when it is first loaded.

    Raises:
        ModelLoadError: The name is a path, and there is nothing.
    """
    if name is None or name == DEFAULT_MODEL:
        gguf = embedded_gguf()
        return gguf and _converted(gguf)
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.suffix == ".gguf" and path.is_file():
        return _converted(path)
    if path.suffix == ".gguf" or path.is_absolute() or name.startswith((".", "~")):
        raise ModelLoadError(f"there is no folder or GGUF file at {path}")
    return _snapshot(name)


def _converted(gguf: Path) -> Path | None:
    folder = converted_folder(gguf)
    return folder if folder.is_dir() else None


def _snapshot(hub_id: str) -> Path | None:
    """The folder of a model in the hub's cache."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415  # slow to import
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        found: Any = snapshot_download(hub_id, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as exc:
        raise ModelLoadError(f"model {hub_id!r}: {exc}") from exc
    folder = Path(found)
    return folder if any(folder.glob("*.safetensors")) else None
