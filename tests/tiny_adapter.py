"""Random LoRA adapters of the tiny model, as written by `mlx_lm.lora`."""

import json

import mlx.core as mx
from families import build_model
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers

LORA = {"rank": 4, "scale": 10.0, "dropout": 0.0}


def write_tiny_adapter(folder, *, seed):
    """Write adapters that change the completions of the tiny model."""
    folder.mkdir()
    model = build_model("llama")
    model.freeze()
    linear_to_lora_layers(model, 2, LORA)
    key = mx.random.key(seed)
    weights = {
        name: mx.random.normal(array.shape, key=key) * 0.3
        for name, array in tree_flatten(model.trainable_parameters())
    }
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    config = {"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": LORA}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
