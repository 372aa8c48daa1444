"""The names by which operators and requests give models. Imports nothing slow."""

from pathlib import Path

from concordance_shared import ModelLoadError

from concordance_inference.models.embedded import DEFAULT_MODEL


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


def model_at(name: str) -> Path | None:
    """Return a folder or a GGUF file; `None` if the name can be an id on the hub.

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
