"""Locates and loads a model: the embedded default, a folder, a GGUF file, or an id on the hub."""

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx_lm.utils
from concordance_shared import ModelLoadError
from mlx.utils import tree_flatten, tree_map, tree_unflatten
from mlx_lm.models.switch_layers import SwitchLinear
from msgspec import Struct

from concordance_inference.engine.config import ModelTraits
from concordance_inference.generation import ModelInfo, SamplingDefaults
from concordance_inference.harmony.vocabulary import harmony_tokens_of
from concordance_inference.models.adapters import replaces_weights
from concordance_inference.models.bare_names import classes_in
from concordance_inference.models.build import build_of
from concordance_inference.models.context_length import context_length
from concordance_inference.models.converted import SMALL, is_converted
from concordance_inference.models.gguf import Progress
from concordance_inference.models.given_names import default_id
from concordance_inference.models.options import ModelOptions
from concordance_inference.models.places import model_folder
from concordance_inference.models.precision import disable_tf32
from concordance_inference.models.sampling_defaults import sampling_defaults
from concordance_inference.models.store import store_folder
from concordance_inference.models.token_maps import without_token_maps
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_inference.models.traits import traits_of

logger = logging.getLogger(__name__)


class LoadedModel(Struct, frozen=True, kw_only=True, eq=False):
    """A model in memory, its tokenizer, and its description for clients."""

    model: Any
    tokenizer: ModelTokenizer
    info: ModelInfo
    place: str  # the folder that mlx-lm loads it from
    folders: tuple[Path, ...] = ()  # the folders of all of its files, if known
    base: dict[str, mx.array] | None = None  # its weights without the adapters, to be shared

    @property
    def weight_bytes(self) -> int:
        """Size of the weights in bytes."""
        arrays = cast(list[tuple[str, mx.array]], tree_flatten(self.model.parameters()))
        return sum(array.nbytes for _, array in arrays)

    def traits(self) -> ModelTraits:
        """Return what the engine needs besides the weights."""
        return traits_of(self.tokenizer, context_length=self.info.context_length)


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
        options: Options for loading.
        progress: Called with a message at each stage.

    Raises:
        ModelLoadError: The model cannot be found, downloaded, read or run.
    """
    disable_tf32()
    model_id, folder = default_id(name), locate_model(name, progress=progress)
    progress(f"loading {model_id}")
    with explained(f"model {model_id!r} cannot be loaded from {folder}{_hint(folder)}"):
        return _load(model_id, folder, options or ModelOptions())


def locate_model(name: str | None, *, progress: Progress = logger.info) -> Path:
    """Return the folder of a model; convert or download it if needed.

    Args:
        name: As for `load_model`.
        progress: Called with a message at each stage.

    Raises:
        ModelLoadError: It cannot be found, converted or downloaded.
    """
    with explained(
        f"model {name!r} cannot be found; there is no such folder, and the hub reported"
    ):
        return model_folder(name, progress=progress)


@contextmanager
def explained(what: str) -> Generator[None]:
    """Wrap any exception of the block (files, the model's own code, the hub).

    Raises:
        ModelLoadError: The block raised; the message begins with `what`.
    """
    try:
        yield
    except ModelLoadError:
        raise
    except Exception as exc:
        raise ModelLoadError(f"{what}: {type(exc).__name__}: {exc}") from exc
    except BaseException as exc:
        # Rust panics do not derive from `Exception`. Some of mlx-lm's modules call `sys.exit` when
        # a package that they need is missing.
        if type(exc).__name__ not in {"PanicException", "SystemExit"}:
            raise
        raise ModelLoadError(f"{what}: {type(exc).__name__}: {exc}") from exc


def _load(model_id: str, folder: Path, options: ModelOptions) -> LoadedModel:
    """Load weights and tokenizer at the same time: weights are read in the background."""
    model, config = _base_in(folder, options)
    _choose_types(model)
    replaces = options.adapter_path is not None and replaces_weights(options.adapter_path)
    base = _parameters(model) if options.shares_base and not replaces else None
    model = _with_adapters(model, options)
    _prepare_weights(model)
    with without_token_maps():
        tokenizer: Any = mlx_lm.utils.load_tokenizer(
            folder,
            {"trust_remote_code": options.trust_remote_code},
            eos_token_ids=config.get("eos_token_id"),
        )
    length = context_length(model, config, tokenizer, chosen=options.context_length)
    harmony = harmony_tokens_of(tokenizer)
    ends = harmony.stop_ids if harmony else tokenizer.eos_token_ids
    wrapped = ModelTokenizer(
        tokenizer,
        eos_token_ids=sorted(ends),
        vocab_size=_vocab_size(config),
    )
    mx.eval(model.parameters())
    folders = (folder, *([options.adapter_path] if options.adapter_path else []))
    return LoadedModel(
        model=model,
        tokenizer=wrapped,
        info=ModelInfo(
            id=options.id or model_id,
            created=int(time.time()),
            context_length=length,
            vocab_size=wrapped.vocab_size,
            sampling=sampling_of(model_id, folder, options),
            build=build_of(folders),
        ),
        place=str(folder),
        folders=folders,
        base=base,
    )


def sampling_of(model_id: str, folder: Path, options: ModelOptions) -> SamplingDefaults:
    """Return the sampling parameters of requests that set none."""
    if options.sampling_defaults == "openai":
        return SamplingDefaults()
    return sampling_defaults(model_id, folder)


def _base_in(folder: Path, options: ModelOptions) -> tuple[Any, dict[str, Any]]:
    """Return the model of a folder and its config; its weights are not read yet, or shared."""
    model, config = cast(
        tuple[Any, dict[str, Any]],
        mlx_lm.utils.load_model(
            folder,
            lazy=True,
            trust_remote_code=options.trust_remote_code,
            get_model_classes=classes_in(folder),
        ),
    )
    if options.base is not None:
        model.update(tree_unflatten(list(options.base.items())))
    return model, config


def _with_adapters(model: Any, options: ModelOptions) -> Any:
    if options.adapter_path is None:
        return model
    adapted: Any = mlx_lm.utils.load_adapters(model, str(options.adapter_path))
    adapted.eval()
    return adapted


def _parameters(model: Any) -> dict[str, mx.array]:
    return dict(cast(list[tuple[str, mx.array]], tree_flatten(model.parameters())))


def _hint(folder: Path) -> str:
    """What to do about a folder that cannot be loaded, if it is one of ours."""
    if is_converted(folder):
        return ", which was converted from a GGUF file; delete this folder to convert it again"
    if folder.is_relative_to(store_folder()):
        return "; delete this folder to download the model again"
    return ""


def unread_model(folder: Path, options: ModelOptions) -> tuple[Any, dict[str, Any]]:
    """Return a folder's model in the types that it runs in, weights not read, and its config.

    Raises:
        ModelLoadError: The model is not complete, or the device cannot run it.
    """
    with explained(f"the model in {folder} cannot be loaded"):
        model, config = _base_in(folder, options)
        model = _with_adapters(model, options)
        _choose_types(model)
        return model, config


def _prepare_weights(model: Any) -> None:
    """Convert the weights to the device's fastest type and start to read them.

    Raises:
        ModelLoadError: The device cannot run the model in the weights' type.
    """
    _choose_types(model)
    mx.async_eval(model.parameters())


def _choose_types(model: Any) -> None:
    """Convert the weights to the device's fastest type, when they are read."""
    parameters = model.parameters()
    arrays = cast(list[tuple[str, mx.array]], tree_flatten(parameters))
    count = sum(array.size for _, array in arrays)
    if mx.default_device() == mx.cpu and not _is_quantized(arrays):
        if count <= SMALL:
            model.update(tree_map(_as_float32, parameters))
        else:
            _reject_experts(model, arrays)


def _reject_experts(model: Any, arrays: list[tuple[str, mx.array]]) -> None:
    """Reject mixtures of experts in 16 bits: `gather_mm` on a CPU supports float32 only."""
    experts = any(isinstance(module, SwitchLinear) for _, module in model.named_modules())
    if experts and any(array.dtype in (mx.float16, mx.bfloat16) for _, array in arrays):
        raise ModelLoadError(
            "MLX runs mixtures of experts in 16 bits on a GPU only; quantize the model with "
            "`mlx_lm.convert -q` to run it on a CPU"
        )


def _is_quantized(arrays: list[tuple[str, mx.array]]) -> bool:
    return any(name.endswith(".scales") for name, _ in arrays)


def _as_float32(array: mx.array) -> mx.array:
    return array.astype(mx.float32) if mx.issubdtype(array.dtype, mx.floating) else array


def _vocab_size(config: dict[str, Any]) -> int:
    inner: dict[str, Any] = config.get("text_config") or {}
    return int({**config, **inner}.get("vocab_size") or 2**31)
