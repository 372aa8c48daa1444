"""From a llama in a GGUF file to a folder that mlx-lm loads.

mlx reads the weights, the hyperparameters and the tokenizer's vocabulary and merges out of the
file. Two things differ from a folder that was converted from Hugging Face's: the names of the
tensors, and the layout of the rotary embedding, which GGUF keeps interleaved (`rope_traditional`).
Quantized tensors come as groups of 32.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import mlx.core as mx
from concordance_shared import ModelLoadError
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

Weights = Literal["float32", "quantized"]
Progress = Callable[[str], None]

_GROUP_SIZE = 32

#: GGUF's name -> mlx-lm's; the longer names first, since they hold the shorter ones.
_RENAMES = (
    ("blk.", "model.layers."),
    ("attn_norm.", "input_layernorm."),
    ("ffn_norm.", "post_attention_layernorm."),
    ("attn_q.", "self_attn.q_proj."),
    ("attn_k.", "self_attn.k_proj."),
    ("attn_v.", "self_attn.v_proj."),
    ("attn_output.", "self_attn.o_proj."),
    ("ffn_gate.", "mlp.gate_proj."),
    ("ffn_up.", "mlp.up_proj."),
    ("ffn_down.", "mlp.down_proj."),
    ("token_embd.", "model.embed_tokens."),
    ("output_norm.", "model.norm."),
    ("output.", "lm_head."),
)

#: The token type of control tokens in GGUF's vocabulary.
_CONTROL = 3


def convert_gguf(gguf: Path, folder: Path, *, weights: Weights, progress: Progress) -> None:
    """Write a folder in mlx-lm's format.

    Args:
        gguf: The file.
        folder: Where to; it is made.
        weights: Keep the quantization, or unpack to float32.
        progress: Told what is being done.

    Raises:
        ModelLoadError: The file cannot be read, or holds another architecture or tokenizer.
    """
    progress(f"reading {gguf.name}")
    tensors, meta = _read(gguf)
    _check_supported(gguf, meta)
    folder.mkdir(parents=True, exist_ok=True)
    named = {_renamed(name): array for name, array in tensors.items()}
    config = _config(meta, has_head="lm_head.weight" in named)
    if weights == "float32":
        progress("unpacking the weights to float32")
        named = _unpacked(named)
    else:
        config["quantization"] = _quantization(named)
    progress(f"writing {folder}")
    mx.save_safetensors(str(folder / "model.safetensors"), named, {"format": "mlx"})
    _write_json(folder / "config.json", config)
    _tokenizer(meta).save(str(folder / "tokenizer.json"))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(meta))


def _read(gguf: Path) -> tuple[dict[str, mx.array], dict[str, Any]]:
    """The tensors of a file by name, and its metadata."""
    try:
        read = mx.load(str(gguf), return_metadata=True)
    except (RuntimeError, ValueError, OSError) as exc:
        raise ModelLoadError(f"{gguf} cannot be read as a GGUF file: {exc}") from exc
    return cast(tuple[dict[str, mx.array], dict[str, Any]], read)


def _check_supported(gguf: Path, meta: dict[str, Any]) -> None:
    architecture = meta.get("general.architecture")
    tokenizer = meta.get("tokenizer.ggml.model")
    if architecture != "llama" or tokenizer != "gpt2":
        raise ModelLoadError(
            f"{gguf} holds a {architecture!r} model with a {tokenizer!r} tokenizer; only llama "
            "models with a byte-level BPE tokenizer ('gpt2') are read from GGUF. Convert others "
            "to a folder with mlx_lm.convert"
        )


def _renamed(name: str) -> str:
    for old, new in _RENAMES:
        if old == "output." and not name.startswith(old):
            continue
        name = name.replace(old, new)
    return name


def _config(meta: dict[str, Any], *, has_head: bool) -> dict[str, Any]:
    def number(key: str) -> int:
        return int(meta[f"llama.{key}"].item())

    return {
        "model_type": "llama",
        "hidden_size": number("embedding_length"),
        "num_hidden_layers": number("block_count"),
        "intermediate_size": number("feed_forward_length"),
        "num_attention_heads": number("attention.head_count"),
        "num_key_value_heads": number("attention.head_count_kv"),
        "rms_norm_eps": float(meta["llama.attention.layer_norm_rms_epsilon"].item()),
        "vocab_size": len(meta["tokenizer.ggml.tokens"]),
        "rope_theta": float(meta["llama.rope.freq_base"].item()),
        "rope_traditional": True,
        "tie_word_embeddings": not has_head,
        "max_position_embeddings": number("context_length"),
        "bos_token_id": int(meta["tokenizer.ggml.bos_token_id"].item()),
        "eos_token_id": int(meta["tokenizer.ggml.eos_token_id"].item()),
    }


def _quantized(named: dict[str, mx.array]) -> dict[str, int]:
    """Base name -> bits per weight, for the tensors that are quantized."""
    bases = [name.removesuffix(".scales") for name in named if name.endswith(".scales")]
    # A packed row has `bits` words of 32 bits for each group of 32 weights, which has one scale.
    return {
        base: named[f"{base}.weight"].shape[-1] // named[f"{base}.scales"].shape[-1]
        for base in bases
    }


def _quantization(named: dict[str, mx.array]) -> dict[str, Any]:
    """mlx-lm's description of which tensor is quantized how."""
    bits = _quantized(named)
    usual = max(set(bits.values()), key=list(bits.values()).count)
    unusual = {
        base: {"group_size": _GROUP_SIZE, "bits": b} for base, b in bits.items() if b != usual
    }
    return {"group_size": _GROUP_SIZE, "bits": usual, **unusual}


def _unpacked(named: dict[str, mx.array]) -> dict[str, mx.array]:
    bits = _quantized(named)
    plain: dict[str, mx.array] = {}
    for name, array in named.items():
        base, _, kind = name.rpartition(".")
        if base in bits and kind in ("scales", "biases"):
            continue
        if base in bits:
            array = mx.dequantize(  # noqa: PLW2901
                array,
                named[f"{base}.scales"],
                named[f"{base}.biases"],
                group_size=_GROUP_SIZE,
                bits=bits[base],
            )
        plain[name] = array.astype(mx.float32)
    return plain


def _tokenizer(meta: dict[str, Any]) -> Tokenizer:
    """The byte-level BPE tokenizer of the file, with its control tokens as special ones."""
    tokens: list[str] = meta["tokenizer.ggml.tokens"]
    merges = [
        (left, right) for left, right in (m.split(" ") for m in meta["tokenizer.ggml.merges"])
    ]
    made = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if meta.get("tokenizer.ggml.pre") == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        made.pre_tokenizer = pre_tokenizers.Sequence([digits, by_bytes])
    else:
        made.pre_tokenizer = by_bytes
    made.decoder = decoders.ByteLevel()
    kinds = meta["tokenizer.ggml.token_type"].tolist()
    control = [t for t, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    made.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
    return made


def _tokenizer_config(meta: dict[str, Any]) -> dict[str, Any]:
    def token(key: str) -> str | None:
        token_id = meta.get(f"tokenizer.ggml.{key}_token_id")
        return None if token_id is None else meta["tokenizer.ggml.tokens"][int(token_id.item())]

    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token("bos"),
        "eos_token": token("eos"),
        "pad_token": token("padding"),
        "unk_token": token("unknown"),
        "chat_template": meta.get("tokenizer.chat_template"),
        "model_max_length": int(meta["llama.context_length"].item()),
        "clean_up_tokenization_spaces": False,
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
