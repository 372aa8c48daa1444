"""Maps the hyperparameters and tensors of a GGUF file to mlx-lm's config and names.

A key or tensor that is not listed here could change what the model computes, so it is rejected by
name.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from concordance_shared import ModelLoadError
from msgspec import Struct

from concordance_inference.models.gguf.blocks import can_unpack, unpacked
from concordance_inference.models.gguf.file import GgufFile, is_value

#: Norms and projections of a layer: GGUF's name -> mlx-lm's.
_LAYER = {
    "attn_norm.weight": "input_layernorm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}
_QKV_BIAS = {
    "attn_q.bias": "self_attn.q_proj.bias",
    "attn_k.bias": "self_attn.k_proj.bias",
    "attn_v.bias": "self_attn.v_proj.bias",
}
_ATTENTION_BIAS = _QKV_BIAS | {"attn_output.bias": "self_attn.o_proj.bias"}
_MLP_BIAS = {
    "ffn_gate.bias": "mlp.gate_proj.bias",
    "ffn_up.bias": "mlp.up_proj.bias",
    "ffn_down.bias": "mlp.down_proj.bias",
}
_QK_NORM = {
    "attn_q_norm.weight": "self_attn.q_norm.weight",
    "attn_k_norm.weight": "self_attn.k_norm.weight",
}
_MODEL = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
}
_HEAD = {"output.weight": "lm_head.weight"}

#: mlx's shapes are 32-bit; larger counts come from damaged files.
_MAX_COUNT = 2**31 - 1

#: Larger numbers overflow float32.
_MAX_NUMBER = 1e38

#: The divisors of Llama 3's RoPE frequencies.
_ROPE_FACTORS = "rope_freqs.weight"


#: Tensor shapes by name, without the layer number. The axes are keys of `_sizes`.
_SHAPES = {
    "token_embd.weight": ("vocab", "hidden"),
    "output_norm.weight": ("hidden",),
    "output.weight": ("vocab", "hidden"),
    "attn_norm.weight": ("hidden",),
    "ffn_norm.weight": ("hidden",),
    "attn_q.weight": ("heads", "hidden"),
    "attn_k.weight": ("kv_heads", "hidden"),
    "attn_v.weight": ("kv_heads", "hidden"),
    "attn_output.weight": ("hidden", "heads"),
    "attn_q.bias": ("heads",),
    "attn_k.bias": ("kv_heads",),
    "attn_v.bias": ("kv_heads",),
    "attn_output.bias": ("hidden",),
    "attn_q_norm.weight": ("head_dim",),
    "attn_k_norm.weight": ("head_dim",),
    "ffn_gate.weight": ("intermediate", "hidden"),
    "ffn_up.weight": ("intermediate", "hidden"),
    "ffn_down.weight": ("hidden", "intermediate"),
    "ffn_gate.bias": ("intermediate",),
    "ffn_up.bias": ("intermediate",),
    "ffn_down.bias": ("hidden",),
}


class _Architecture(Struct, frozen=True):
    model_type: str
    layer: Mapping[str, str]  # tensors of every layer
    optional: Mapping[str, Mapping[str, str]] = {}  # config option -> its tensors
    is_interleaved: bool = False  # RoPE rotates adjacent dimensions, as in GGUF's llama
    has_head_dim: bool = True  # head_dim may differ from hidden_size / heads


_ARCHITECTURES = {
    "llama": _Architecture(
        "llama",
        _LAYER,
        {"attention_bias": _ATTENTION_BIAS, "mlp_bias": _MLP_BIAS},
        is_interleaved=True,
    ),
    "qwen2": _Architecture("qwen2", _LAYER | _QKV_BIAS, has_head_dim=False),
    "qwen3": _Architecture("qwen3", _LAYER | _QK_NORM),
}

#: Keys that are converted, after the architecture's name.
_CONVERTED = {
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "vocab_size",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
}
#: Keys without an effect on the computation.
_INERT = {"rope.scaling.finetuned", "tensor_data_layout", "leading_dense_block_count"}
#: Unsupported features: keys that are accepted only with the value that disables the feature.
_ABSENT = {
    "expert_count": 0,
    "expert_used_count": 0,
    "use_parallel_residual": True,
    "attention.causal": True,
    "pooling_type": 0,
    "attention.sliding_window": 0,
    "rope.scaling.attn_factor": 1.0,
    "logit_scale": 1.0,
    "residual_scale": 1.0,
    "embedding_scale": 1.0,
}


class Hyperparameters:
    """Typed access to the keys of the file's architecture."""

    def __init__(self, file: GgufFile) -> None:
        """Check the architecture and the names of its keys.

        Raises:
            ModelLoadError: The architecture, or a key, is not supported.
        """
        self._file = file
        name = file.metadata.get("general.architecture")
        self.name = name if isinstance(name, str) else ""
        if self.name not in _ARCHITECTURES:
            raise ModelLoadError(
                f"{file.path} has the architecture {name!r:.80}; GGUF files of "
                f"{', '.join(_ARCHITECTURES)} are supported. Convert other models from their "
                "folder on the hub with mlx_lm.convert"
            )
        self.architecture = _ARCHITECTURES[self.name]
        self._reject_unknown()

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number, or the format's default.

        Raises:
            ModelLoadError: It is missing without a default, or is not a finite number.
        """
        value = self._file.metadata.get(f"{self.name}.{key}", default)
        if isinstance(value, np.ndarray):
            value = self._uniform(key, value)
        if value is None:
            raise self.error(key, "is missing")
        if not _is_number(value) or not math.isfinite(value):
            raise self.error(key, f"is {value!r:.80}; it must be a finite number")
        return value

    def positive(self, key: str, default: float | None = None) -> float:
        """Return a positive number.

        Raises:
            ModelLoadError: It is missing without a default, or is not a positive number.
        """
        value = float(self.number(key, default))
        if not 0 < value < _MAX_NUMBER:
            raise self.error(key, f"is {value}; it must be a positive number below {_MAX_NUMBER}")
        return value

    def count(self, key: str, default: int | None = None) -> int:
        """Return a positive integer.

        Raises:
            ModelLoadError: It is missing without a default, or is not a positive integer.
        """
        value = self.number(key, default)
        if value != int(value) or not 1 <= value <= _MAX_COUNT:
            raise self.error(key, f"is {value!r}; it must be an integer from 1 to {_MAX_COUNT}")
        return int(value)

    def text(self, key: str, default: str) -> str:
        """Return a string.

        Raises:
            ModelLoadError: It is not a string.
        """
        value = self._file.metadata.get(f"{self.name}.{key}", default)
        if not isinstance(value, str):
            raise self.error(key, f"is {value!r:.80}; it must be a string")
        return value

    def has(self, key: str) -> bool:
        """True if the file has the key."""
        return f"{self.name}.{key}" in self._file.metadata

    def error(self, key: str, what: str) -> ModelLoadError:
        """Return an error that names the file and the key."""
        return ModelLoadError(f"{self._file.path}: {self.name}.{key} {what}")

    def _uniform(self, key: str, values: np.ndarray) -> Any:
        """Return the common value of a key that has one value per layer."""
        if not len(values) or (values != values[0]).any():
            raise self.error(key, "differs between layers, which is not supported")
        return values[0].item()

    def _reject_unknown(self) -> None:
        prefix = f"{self.name}."
        for full, value in self._file.metadata.items():
            key = full.removeprefix(prefix)
            if not full.startswith(prefix) or key in _CONVERTED or key in _INERT:
                continue
            if key not in _ABSENT:
                raise self.error(key, "is not supported")
            if not is_value(value, _ABSENT[key]):
                raise self.error(key, f"is {value!r:.80}; only {_ABSENT[key]!r} is supported")


def config_of(file: GgufFile, parameters: Hyperparameters) -> dict[str, Any]:
    """Return mlx-lm's config, without the tokenizer and quantization entries.

    Raises:
        ModelLoadError: A key is missing or not supported.
    """
    heads = parameters.count("attention.head_count")
    hidden = parameters.count("embedding_length")
    head_dim = _head_dim(parameters, hidden, heads)
    if not parameters.architecture.has_head_dim and head_dim * heads != hidden:
        raise parameters.error(
            "attention.key_length", f"is {head_dim}; it must be {hidden // heads}"
        )
    theta = parameters.positive("rope.freq_base", 10000.0)
    return {
        "model_type": parameters.architecture.model_type,
        "hidden_size": hidden,
        "head_dim": head_dim,
        "num_hidden_layers": parameters.count("block_count"),
        "intermediate_size": parameters.count("feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": parameters.count("attention.head_count_kv", heads),
        "rms_norm_eps": parameters.positive("attention.layer_norm_rms_epsilon"),
        "vocab_size": _vocab_size(file, parameters),
        "rope_theta": theta,
        "rope_traditional": parameters.architecture.is_interleaved,
        "rope_scaling": _rope_scaling(file, parameters, head_dim, theta),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "max_position_embeddings": parameters.count("context_length"),
        **_options(file, parameters),
    }


def tensor_names(file: GgufFile, parameters: Hyperparameters) -> dict[str, str]:
    """Map the file's tensor names to mlx-lm's.

    Raises:
        ModelLoadError: A tensor is missing, or is unknown.
    """
    layer = dict(parameters.architecture.layer)
    for option, tensors in parameters.architecture.optional.items():
        if _options(file, parameters).get(option):
            layer |= tensors
    names = dict(_MODEL)
    for number in range(_block_count(file, parameters)):
        names |= {f"blk.{number}.{a}": f"model.layers.{number}.{b}" for a, b in layer.items()}
    if missing := names.keys() - file.tensors.keys():
        raise ModelLoadError(f"{file.path} has no tensor {_some(missing)}")
    names |= {name: new for name, new in _HEAD.items() if name in file.tensors}
    if unknown := file.tensors.keys() - names.keys() - {_ROPE_FACTORS}:
        raise ModelLoadError(
            f"{file.path} has tensors that are not supported for {parameters.name} models: "
            f"{_some(unknown)}"
        )
    return names


def check_tensors(file: GgufFile, names: Mapping[str, str], config: Mapping[str, Any]) -> None:
    """Reject tensors whose shape contradicts the config, or whose type cannot be unpacked.

    Args:
        file: The file.
        names: The converted tensors, from `tensor_names`.
        config: The config, from `config_of`.

    Raises:
        ModelLoadError: A tensor has another shape, or an unsupported type.
    """
    sizes = _sizes(config)
    for name in names:
        tensor = file.tensors[name]
        kind = name.split(".", 2)[2] if name.startswith("blk.") else name
        expected = tuple(sizes[axis] for axis in _SHAPES[kind])
        if tensor.shape != expected:
            raise ModelLoadError(
                f"{file.path}: tensor {name!r} has the shape {tensor.shape}; by the file's "
                f"hyperparameters it must be {expected} ({', '.join(_SHAPES[kind])})"
            )
        if not can_unpack(tensor.type):
            raise ModelLoadError(
                f"{file.path}: tensor {name!r} has the type {tensor.type.name}, which is not "
                "supported for weights"
            )


def _sizes(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the sizes of tensor axes; all heads of a projection form one axis."""
    head_dim = config["head_dim"]
    return {
        "vocab": config["vocab_size"],
        "hidden": config["hidden_size"],
        "intermediate": config["intermediate_size"],
        "head_dim": head_dim,
        "heads": config["num_attention_heads"] * head_dim,
        "kv_heads": config["num_key_value_heads"] * head_dim,
    }


def _block_count(file: GgufFile, parameters: Hyperparameters) -> int:
    """Return the number of layers; bounded, since a damaged count would exhaust the memory."""
    count = parameters.count("block_count")
    if count > len(file.tensors):
        raise parameters.error(
            "block_count", f"is {count}; the file has only {len(file.tensors)} tensors"
        )
    return count


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _some(names: set[str]) -> str:
    """Format the first names of a set for a message."""
    shown = ", ".join(repr(name) for name in sorted(names)[:3])
    return shown + (f" and {len(names) - 3} others" if len(names) > 3 else "")


def _head_dim(parameters: Hyperparameters, hidden: int, heads: int) -> int:
    """Return the head dimension, which must be the same for keys, values and RoPE."""
    if not parameters.has("attention.key_length") and hidden % heads:
        raise parameters.error(
            "attention.head_count", f"is {heads}, which does not divide {hidden}"
        )
    head_dim = parameters.count("attention.key_length", hidden // heads)
    for key in ("attention.value_length", "rope.dimension_count"):
        if parameters.count(key, head_dim) != head_dim:
            raise parameters.error(
                key,
                f"is {parameters.count(key)}; only the head dimension, {head_dim}, is supported",
            )
    return head_dim


def _vocab_size(file: GgufFile, parameters: Hyperparameters) -> int:
    """Return the rows of the embedding, which may exceed the number of tokens."""
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ModelLoadError(f"{file.path} has no two-dimensional tensor 'token_embd.weight'")
    rows = embedding.shape[0]
    if parameters.count("vocab_size", rows) > rows:
        raise parameters.error("vocab_size", f"is larger than the embedding's {rows} rows")
    return rows


def _options(file: GgufFile, parameters: Hyperparameters) -> dict[str, bool]:
    """Derive config options from the presence of their tensors in the first layer."""
    return {
        option: all(f"blk.0.{name}" in file.tensors for name in tensors)
        for option, tensors in parameters.architecture.optional.items()
    }


def _rope_scaling(
    file: GgufFile, parameters: Hyperparameters, head_dim: int, theta: float
) -> dict[str, Any] | None:
    """Return mlx-lm's `rope_scaling` entry of a config."""
    kind = parameters.text("rope.scaling.type", "linear" if _factor_key(parameters) else "none")
    if _ROPE_FACTORS in file.tensors:
        if kind != "none":
            raise parameters.error(
                "rope.scaling.type", f"is {kind!r}; with the tensor {_ROPE_FACTORS} it must be none"
            )
        return _llama3_scaling(file, head_dim, theta)
    if kind == "none":
        return None
    if kind not in ("linear", "yarn"):
        raise parameters.error(
            "rope.scaling.type", f"is {kind!r}; none, linear and yarn are supported"
        )
    factor = parameters.positive(_factor_key(parameters) or "rope.scaling.factor")
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    return {"rope_type": "yarn", "factor": factor, **_yarn(parameters)}


def _factor_key(parameters: Hyperparameters) -> str | None:
    """Return the key of the scaling factor; `rope.scale_linear` is its former name."""
    keys = ("rope.scaling.factor", "rope.scale_linear")
    return next((key for key in keys if parameters.has(key)), None)


def _yarn(parameters: Hyperparameters) -> dict[str, float]:
    length = parameters.count("context_length")
    return {
        "original_max_position_embeddings": parameters.count(
            "rope.scaling.original_context_length", length
        ),
        "beta_fast": parameters.positive("rope.scaling.yarn_beta_fast", 32.0),
        "beta_slow": parameters.positive("rope.scaling.yarn_beta_slow", 1.0),
    }


def _llama3_scaling(file: GgufFile, head_dim: int, theta: float) -> dict[str, Any]:
    """Recover the parameters of Llama 3's RoPE scaling from the divisors in the file.

    Raises:
        ModelLoadError: The divisors are not those of Llama 3.1, 3.2 or 3.3.
    """
    tensor = file.tensors[_ROPE_FACTORS]
    factors = unpacked(tensor.type, file.blocks(_ROPE_FACTORS)).reshape(-1).astype(np.float64)
    factor = float(factors.max())
    scaling = {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    expected = _llama3_factors(head_dim, theta, max(factor, 1.0))
    if factors.shape != expected.shape or not np.allclose(factors, expected, rtol=1e-4):
        first = [round(float(value), 3) for value in factors[:4]]
        raise ModelLoadError(
            f"{file.path}: the factors in {_ROPE_FACTORS!r} start with {first}; only those of "
            "Llama 3.1 to 3.3 are supported"
        )
    return scaling


def _llama3_factors(head_dim: int, theta: float, factor: float) -> np.ndarray:
    """Return the divisor of each RoPE frequency under Llama 3's scaling.  (head_dim / 2,)

    Wavelengths up to a quarter of the original context are unchanged, wavelengths above the whole
    context are stretched by `factor`, and those between are interpolated:

        wavelength   0 ------- 2048 ---------- 8192 ------->
        divisor      1         1  ...  factor  factor
    """
    wavelengths = 2 * np.pi * theta ** (np.arange(0, head_dim, 2) / head_dim)
    smooth = np.clip((8192 / wavelengths - 1) / 3, 0, 1)
    return 1 / ((1 - smooth) / factor + smooth)
