"""Writes a model folder from a GGUF file: weights, config, tokenizer."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import numpy as np
from concordance_shared import ModelLoadError

from concordance_inference.models.gguf.architecture import (
    Hyperparameters,
    check_tensors,
    config_of,
    tensor_names,
)
from concordance_inference.models.gguf.blocks import GROUP_SIZE, affine, unpacked
from concordance_inference.models.gguf.file import GgufFile, Tensor, is_value
from concordance_inference.models.gguf.tokenizer import Vocabulary

Weights = Literal["float32", "quantized"]
Progress = Callable[[str], None]

#: Weights are written in shards of this size, which bounds the memory that a conversion takes.
_SHARD_BYTES = 2 << 30

#: Recommended sampling parameters: GGUF's key -> the key in generation_config.json.
_SAMPLING = {
    "general.sampling.temp": "temperature",
    "general.sampling.top_k": "top_k",
    "general.sampling.top_p": "top_p",
    "general.sampling.min_p": "min_p",
    "general.sampling.penalty_repeat": "repetition_penalty",
}

_FLOATS = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}


def convert_gguf(gguf: Path, folder: Path, *, weights: Weights, progress: Progress) -> None:
    """Write a folder in mlx-lm's format.

    Args:
        gguf: The file.
        folder: The folder to create.
        weights: "float32" unpacks everything. "quantized" keeps tensors that MLX has a layout for
            at their number of bits, and everything else in one 16-bit type, so that activations and
            the KV cache are 16-bit too.
        progress: Called with a message at each stage.

    Raises:
        ModelLoadError: The file cannot be read, or has an unsupported key or tensor; the message
            names it.
    """
    progress(f"reading {gguf.name}")
    file = GgufFile(gguf)
    _check_whole(file)
    parameters = Hyperparameters(file)
    names, config = tensor_names(file, parameters), config_of(file, parameters)
    sampling = _sampling(file)
    vocabulary = Vocabulary(file, num_rows=config["vocab_size"])
    tokenizer = vocabulary.tokenizer()
    check_tensors(file, names, config)
    folder.mkdir(parents=True, exist_ok=True)
    if weights == "quantized":
        config["quantization"] = _quantization(file, names)
    progress(f"writing {folder}")
    dtype = mx.float32 if weights == "float32" else _dtype(file)
    _write_weights(folder, _arrays(file, names, dtype, unpacks=weights == "float32"))
    _write_json(folder / "config.json", _without_none(config | vocabulary.config()))
    tokenizer.save(str(folder / "tokenizer.json"))
    length = config["max_position_embeddings"]
    _write_json(folder / "tokenizer_config.json", vocabulary.tokenizer_config(length))
    if sampling:
        _write_json(folder / "generation_config.json", sampling)


def num_parameters(gguf: Path) -> int:
    """Return the number of weights in a GGUF file, from its header.

    Raises:
        ModelLoadError: The file cannot be read.
    """
    return sum(tensor.size for tensor in GgufFile(gguf).tensors.values())


def _check_whole(file: GgufFile) -> None:
    """Reject files that contain a part of a model, or no model."""
    kind = file.metadata.get("general.type", "model")
    if not is_value(kind, "model"):
        raise ModelLoadError(f"{file.path} contains a {kind!r:.80} (general.type), not a model")
    parts = file.metadata.get("split.count", 1)
    if not (is_value(parts, 0) or is_value(parts, 1)):
        raise ModelLoadError(
            f"{file.path} is one of {parts!r:.80} parts (split.count); join them with "
            "`llama-gguf-split --merge`"
        )


def _is_packed(tensor: Tensor) -> bool:
    """True if MLX has a layout for the tensor: a matrix of one of the affine types."""
    is_matrix = len(tensor.shape) == 2 and tensor.shape[-1] % GROUP_SIZE == 0
    return is_matrix and tensor.type.name not in _FLOATS and _bits(tensor) is not None


def _bits(tensor: Tensor) -> int | None:
    """Return the bits per weight in MLX's layout; `None` if MLX has none for the type."""
    sample = affine(tensor.type, np.zeros((1, tensor.type.num_bytes), np.uint8))
    return sample.bits if sample else None


def _quantization(file: GgufFile, names: Mapping[str, str]) -> dict[str, Any] | None:
    """Return mlx-lm's `quantization` entry of a config; `None` if no tensor is quantized."""
    bits = {
        new.removesuffix(".weight"): _bits(file.tensors[name])
        for name, new in names.items()
        if _is_packed(file.tensors[name])
    }
    if not bits:
        return None
    all_bits = list(bits.values())
    usual = max(set(all_bits), key=all_bits.count)
    unusual = {
        base: {"group_size": GROUP_SIZE, "bits": b} for base, b in bits.items() if b != usual
    }
    return {"group_size": GROUP_SIZE, "bits": usual, **unusual}


def _dtype(file: GgufFile) -> mx.Dtype:
    """Return the type of all tensors that are not packed, which is also that of activations.

    Scales are float16. A single tensor of another type (norms are float32 in most files) would
    promote all later activations to float32.
    """
    embedding = file.tensors["token_embd.weight"].type.name
    is_plain = all(tensor.type.name in _FLOATS for tensor in file.tensors.values())
    return _FLOATS[embedding] if is_plain else mx.float16


def _arrays(
    file: GgufFile, names: Mapping[str, str], dtype: mx.Dtype, *, unpacks: bool
) -> Iterator[dict[str, mx.array]]:
    """Yield the arrays of each tensor.

    Raises:
        ModelLoadError: A value is not finite, or overflows the type that it is written in.
    """
    for name, new in names.items():
        tensor = file.tensors[name]
        if unpacks or not _is_packed(tensor):
            plain = unpacked(tensor.type, file.blocks(name)).reshape(tensor.shape)
            arrays = {new: mx.array(plain).astype(dtype)}
        else:
            arrays = _packed(file, tensor, new, dtype)
        _check_finite(file, name, arrays)
        yield arrays


def _check_finite(file: GgufFile, name: str, arrays: Mapping[str, mx.array]) -> None:
    for array in arrays.values():
        if array.dtype != mx.uint32 and not mx.isfinite(array).all().item():
            raise ModelLoadError(
                f"{file.path}: tensor {name!r} contains NaN or infinity, or values too large for "
                f"{str(array.dtype).removeprefix('mlx.core.')}"
            )


def _packed(file: GgufFile, tensor: Tensor, new: str, dtype: mx.Dtype) -> dict[str, mx.array]:
    """Return weights, scales and biases of a matrix in the format of MLX's quantized layers."""
    groups = affine(tensor.type, file.blocks(tensor.name))
    assert groups, tensor.type.name
    rows, base = tensor.shape[0], new.removesuffix(".weight")
    return {
        new: mx.array(groups.packed().reshape(rows, -1)),
        f"{base}.scales": mx.array(groups.scales.reshape(rows, -1)).astype(dtype),
        f"{base}.biases": mx.array(groups.biases.reshape(rows, -1)).astype(dtype),
    }


def _write_weights(folder: Path, parts: Iterator[dict[str, mx.array]]) -> None:
    """Write arrays in shards; mlx-lm reads all `model*.safetensors`."""
    shard: dict[str, mx.array] = {}
    number = 1
    for part in parts:
        shard |= part
        mx.eval(part)
        if sum(array.nbytes for array in shard.values()) > _SHARD_BYTES:
            _save(folder, number, shard)
            shard, number = {}, number + 1
    if shard:
        _save(folder, number, shard)


def _save(folder: Path, number: int, shard: dict[str, mx.array]) -> None:
    mx.save_safetensors(str(folder / f"model-{number:05}.safetensors"), shard, {"format": "mlx"})


def _sampling(file: GgufFile) -> dict[str, float]:
    """Return the recommended sampling parameters, under the names of generation_config.json.

    Raises:
        ModelLoadError: A value is not a finite number.
    """
    found: dict[str, float] = {}
    for key, new in _SAMPLING.items():
        value = file.metadata.get(key, 0)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise ModelLoadError(f"{file.path}: {key} is {value!r:.80}; it must be a finite number")
        if key in file.metadata:
            found[new] = value
    return found


def _without_none(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value is not None}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
