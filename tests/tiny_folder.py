"""A tiny random llama as a folder in mlx-lm's format, with a tokenizer of bytes."""

import json

import mlx.core as mx
from families import build_model
from mlx.utils import tree_flatten
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-5,
    "vocab_size": 257,
    "tie_word_embeddings": False,
    "max_position_embeddings": 128,
    "eos_token_id": 256,
}
TEMPLATE = (
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}|{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)


TAGS = ("<think>", "</think>")


def write_tiny_folder(folder):
    """Write the model in bfloat16, the type of most models."""
    folder.mkdir()
    weights = {
        name: array.astype(mx.bfloat16)
        for name, array in tree_flatten(build_model("llama").parameters())
    }
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(CONFIG))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {char: i for i, char in enumerate([*alphabet, "<eos>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<eos>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": "<eos>",
                "chat_template": TEMPLATE,
            }
        )
    )
    return folder


def write_thinking_folder(
    folder, tags=("<think>", "</think>"), *, special=False, template=TEMPLATE
):
    """Write the model with a token for each tag of a reasoning, in place of two unused bytes."""
    path = write_tiny_folder(folder) / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocab = tokenizer["model"]["vocab"]
    for name, char in zip(tags, ("\u00c0", "\u00c1"), strict=True):
        token_id = vocab[name] = vocab.pop(char)
        tokenizer["added_tokens"].append(
            {**tokenizer["added_tokens"][0], "id": token_id, "content": name, "special": special}
        )
    path.write_text(json.dumps(tokenizer))
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "chat_template": template}))
    return folder
