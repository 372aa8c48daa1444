"""A tiny random gpt-oss with the real vocabulary, as a folder in mlx-lm's format."""

import json

import mlx.core as mx
import o200k
from families import build_model
from mlx.utils import tree_flatten

CONFIG = {
    "model_type": "gpt_oss",
    "hidden_size": 32,
    "intermediate_size": 64,
    "head_dim": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "sliding_window": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 150000,
    "rope_scaling": {
        "rope_type": "yarn",
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
    },
    "max_position_embeddings": 4096,
    "vocab_size": o200k.VOCAB_SIZE,
    "tie_word_embeddings": False,
    "eos_token_id": 200002,
}


def write_tiny_gpt_oss(folder):
    """Write the model, as the files of gpt-oss have it."""
    folder.mkdir(parents=True)
    model = build_model("gpt_oss", **CONFIG)
    weights = {k: v.astype(mx.bfloat16) for k, v in tree_flatten(model.parameters())}
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(CONFIG))
    ends = {"eos_token_id": [200002, 199999, 200012], "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(ends))
    (folder / "tokenizer.json").symlink_to(o200k.tokenizer_json())
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|startoftext|>",
        "eos_token": "<|return|>",
        "pad_token": "<|endoftext|>",
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


#: A short stand-in for the template of gpt-oss, which the server does not use.
TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
