"""The tiny model as an embedding model, in the files of sentence-transformers."""

import json

import mlx.core as mx
from tiny_folder import write_tiny_folder

TYPES = "sentence_transformers.models."


def write_tiny_embedder(folder, *, pooling="lasttoken", normalizes=True, **files):
    """Write the model, its weights named as sentence-transformers saves them.

    Args:
        folder: The folder.
        pooling: A mode of pooling.
        normalizes: Add a normalization.
        files: More settings of config.json.
    """
    write_tiny_folder(folder)
    path = folder / "model.safetensors"
    weights = {
        name.removeprefix("model."): array
        for name, array in mx.load(str(path)).items()
        if not name.startswith("lm_head")
    }
    mx.save_safetensors(str(path), weights, {"format": "mlx"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "tie_word_embeddings": True, **files})
    )
    names = ["Transformer", "Pooling", *(["Normalize"] if normalizes else [])]
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{name}" if i else "", "type": TYPES + name}
        for i, name in enumerate(names)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    key = "pooling_mode_lasttoken" if pooling == "lasttoken" else f"pooling_mode_{pooling}_tokens"
    key = "pooling_mode_cls_token" if pooling == "cls" else key
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({key: True}))
    return folder
