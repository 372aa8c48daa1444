"""Weights of embedding models, which are often saved without the part of their names `model.`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx_lm.utils

Classes = Callable[[dict[str, Any]], tuple[Any, Any]]

_find: Classes = mlx_lm.utils._get_classes  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def classes_in(folder: Path) -> Classes:
    """Return what finds the classes of a folder's model, as `mlx_lm.utils.load_model` takes it."""
    return _reading_bare_names if (folder / "modules.json").is_file() else _find


def _reading_bare_names(config: dict[str, Any]) -> tuple[Any, Any]:
    """The classes of a model that also reads names such as `layers.0.mlp.up_proj.weight`."""
    model_class, arguments = _find(config)

    class Model(model_class):
        """The model."""

        def sanitize(self, weights: dict[str, Any]) -> dict[str, Any]:
            """Complete the names."""
            if not any(name.startswith("model.") for name in weights):
                weights = {f"model.{name}": array for name, array in weights.items()}
            inherited: Any = getattr(super(), "sanitize", None)
            return inherited(weights) if inherited else weights

    Model.__module__, Model.__qualname__ = model_class.__module__, model_class.__qualname__
    return Model, arguments
