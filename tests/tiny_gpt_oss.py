"""A tiny random gpt-oss with the real vocabulary, as a folder in mlx-lm's format."""

import json

import mlx.core as mx
import o200k
from concordance_inference.bench import scripted_gpt_oss
from families import build_model
from mlx.utils import tree_flatten

#: The model of the benchmark, with fewer layers and windows that short texts fill.
CONFIG = {
    **scripted_gpt_oss.CONFIG,
    "num_hidden_layers": 2,
    "sliding_window": 8,
    "max_position_embeddings": 4096,
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
