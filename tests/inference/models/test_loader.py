"""Finding and loading models."""

import json

import mlx.core as mx
import pytest
from concordance_inference.models.loader import load_model
from concordance_shared import ModelLoadError
from mlx.utils import tree_flatten
from tiny import tiny_llama
from tokenizers import Tokenizer, decoders, models, pre_tokenizers


@pytest.fixture(name="folder")
def _folder(tmp_path):
    """A tiny llama in mlx-lm's format, in bfloat16, with a tokenizer of bytes."""
    folder = tmp_path / "tiny-llama"
    folder.mkdir()
    weights = {
        name: array.astype(mx.bfloat16) for name, array in tree_flatten(tiny_llama().parameters())
    }
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    config = {
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
    (folder / "config.json").write_text(json.dumps(config))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {char: i for i, char in enumerate([*alphabet, "<eos>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<eos>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<eos>"})
    )
    return folder


def test_a_folder(folder):
    loaded = load_model(str(folder))

    assert loaded.info.id == "tiny-llama"
    assert loaded.info.context_length == 128
    assert loaded.info.vocab_size == 257
    assert loaded.tokenizer.eos_token_ids == {256}


def test_small_models_run_in_float32_on_the_cpu(folder):
    loaded = load_model(str(folder))
    dtypes = {array.dtype for _, array in tree_flatten(loaded.model.parameters())}

    assert dtypes == ({mx.float32} if mx.default_device() == mx.cpu else {mx.bfloat16})


def test_a_folder_without_a_config_is_refused(tmp_path):
    with pytest.raises(ModelLoadError, match=r"config\.json"):
        load_model(str(tmp_path))


def test_a_folder_that_is_damaged_is_refused(folder):
    (folder / "model.safetensors").write_bytes(b"nonsense")

    with pytest.raises(ModelLoadError, match="tiny-llama"):
        load_model(str(folder))


def test_an_unknown_architecture_is_refused(folder):
    (folder / "config.json").write_text('{"model_type": "nosuch"}')

    with pytest.raises(ModelLoadError, match="nosuch"):
        load_model(str(folder))


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "~/nowhere-at-all"])
def test_a_path_that_is_not_there_is_refused(name):
    with pytest.raises(ModelLoadError, match="no folder or GGUF file"):
        load_model(name)


def test_an_id_that_the_hub_cannot_give_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(ModelLoadError, match="it is no folder here"):
        load_model("nobody-here/no-such-model")
