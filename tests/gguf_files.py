"""Writes tiny random models of mlx-lm as GGUF files, in the format of llama.cpp's converter."""

import importlib
import json
from functools import cache

import gguf
import mlx.core as mx
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter, quants
from mlx.utils import tree_flatten, tree_map
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

#: Tensor names: mlx-lm's -> GGUF's.
_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
HEADS, KV_HEADS = 4, 2
CONFIG = {
    "hidden_size": 256,  # one block of K-quants
    "num_hidden_layers": 2,
    "intermediate_size": 256,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
}
END = "<|im_end|>"


@cache
def vocabulary(text="The year 1234 was long ago.\n  Was it?\n" * 3, size=300):
    """Train a BPE whose merges cross spaces, digits and lines, so that pre-tokenization shows."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator(text.splitlines(keepends=True), trainer)
    return trained


def model_of(architecture, vocab_size, **fields):
    """Return a tiny random model of mlx-lm; cached."""
    return _model_of(architecture, vocab_size, json.dumps(fields))


@cache
def _model_of(architecture, vocab_size, fields):
    module = importlib.import_module(f"mlx_lm.models.{architecture}")
    config = CONFIG | {"model_type": architecture, "vocab_size": vocab_size}
    mx.random.seed(0)
    model = module.Model(module.ModelArgs.from_dict(config | json.loads(fields)))
    model.update(tree_map(_random, model.parameters()))
    mx.eval(model.parameters())
    return model


def _random(array):
    noise = mx.random.normal(array.shape) * 0.1
    return noise + 1 if array.ndim == 1 else noise  # norms are around 1; for biases it is harmless


def keys_of(architecture, tokenizer, pre="gpt-2"):
    """Return the metadata of a file."""
    merges = [" ".join(pair) for pair in _merges(tokenizer)]
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    return {
        "general.architecture": architecture,
        f"{architecture}.context_length": 512,
        f"{architecture}.embedding_length": CONFIG["hidden_size"],
        f"{architecture}.block_count": CONFIG["num_hidden_layers"],
        f"{architecture}.feed_forward_length": CONFIG["intermediate_size"],
        f"{architecture}.attention.head_count": HEADS,
        f"{architecture}.attention.head_count_kv": KV_HEADS,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{architecture}.rope.freq_base": 10000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": [*tokens, "<|im_start|>", END],
        "tokenizer.ggml.token_type": [1] * len(tokens) + [3, 3],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": len(tokens),
        "tokenizer.ggml.eos_token_id": len(tokens) + 1,
    }


def tensors_of(model, architecture):
    """Return the tensors of a file: name -> float32 array."""
    tensors = {}
    for name, array in tree_flatten(model.parameters()):
        base, _, kind = name.rpartition(".")
        weights = np.array(array.astype(mx.float32))
        if architecture == "llama" and base.endswith(("q_proj", "k_proj")):
            weights = _interleaved(weights, model.args.head_dim)
        tensors[f"{_gguf_name(base)}.{kind}"] = weights
    return tensors


def write_gguf(path, keys, tensors, type_=Type.F32):
    """Write a file with matrices in `type_` and everything else in float32."""
    writer = GGUFWriter(str(path), keys.get("general.architecture", "llama"), use_temp_file=False)
    for key, value in keys.items():
        if key != "general.architecture":
            writer.add_key_value(key, value, _kind(value), _element_kind(value))
    for name, array in tensors.items():
        if array.ndim < 2 or type_ is Type.F32 or array.dtype != np.float32:
            writer.add_tensor(name, array)
        else:
            writer.add_tensor(name, quantized(array, type_), raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def quantized(array, type_):
    """Quantize a matrix; return random valid blocks for types that `gguf` cannot quantize to."""
    try:
        return quants.quantize(array, type_)
    except NotImplementedError:
        return random_blocks(type_, array.shape)


def random_blocks(type_, shape):
    """Return random quantized blocks with small finite scales.  (rows, bytes) uint8"""
    elements, size = gguf.GGML_QUANT_SIZES[type_]
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (shape[0], shape[1] // elements, size), np.uint8)
    for start in _SCALES.get(type_, (0,)):
        scale = random.uniform(1e-4, 2e-4, blocks.shape[:2]).astype(np.float16)
        blocks[..., start : start + 2] = scale[..., None].view(np.uint8)
    return blocks.reshape(shape[0], -1)


#: Byte offsets of the float16 scales in a block.
_SCALES = {
    Type.Q2_K: (80, 82),
    Type.Q3_K: (108,),
    Type.Q4_K: (0, 2),
    Type.Q5_K: (0, 2),
    Type.Q6_K: (208,),
}


def _merges(tokenizer):
    return [
        merge if isinstance(merge, list) else merge.split(" ")
        for merge in json.loads(tokenizer.to_str())["model"]["merges"]
    ]


def _interleaved(weights, head_dim):
    """Permute rows to llama.cpp's RoPE layout: dimensions that rotate together are adjacent."""
    shape = weights.shape
    return weights.reshape(-1, 2, head_dim // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def _gguf_name(base):
    if base.startswith("model.layers."):
        number, _, rest = base.removeprefix("model.layers.").partition(".")
        return f"blk.{number}.{_NAMES[rest]}"
    return _NAMES[base]


def _kind(value):
    if isinstance(value, list):
        return gguf.GGUFValueType.ARRAY
    return _scalar_kind(value)


def _element_kind(value):
    if isinstance(value, list) and type(value[0]) is int:
        return gguf.GGUFValueType.INT32
    return _scalar_kind(value[0]) if isinstance(value, list) else None


def _scalar_kind(value):
    if isinstance(value, int) and value < 0:
        return gguf.GGUFValueType.INT32
    if isinstance(value, int) and value >= 2**32:
        return gguf.GGUFValueType.UINT64
    kinds = {
        bool: gguf.GGUFValueType.BOOL,
        int: gguf.GGUFValueType.UINT32,
        float: gguf.GGUFValueType.FLOAT32,
        str: gguf.GGUFValueType.STRING,
    }
    return kinds[type(value)]
