"""The memory that a model needs, without loading it."""

from pathlib import Path
from typing import cast

import mlx.core as mx
from mlx.utils import tree_flatten
from msgspec import Struct

from concordance_inference.engine.caches.budget import Footprint
from concordance_inference.engine.model.calibration.profile import footprint_of
from concordance_inference.models.context_length import context_length
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
