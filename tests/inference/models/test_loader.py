"""Locating and loading models."""

import json

import mlx.core as mx
import pytest
from concordance_inference.models.loader import load_model
from concordance_shared import ModelLoadError
from mlx.utils import tree_flatten
from tiny_folder import write_tiny_folder


@pytest.fixture(name="folder")
def _folder(tmp_path):
    return write_tiny_folder(tmp_path / "tiny-llama")


def test_a_model_folder_is_loaded(folder):
    loaded = load_model(str(folder))

    assert loaded.info.id == "tiny-llama"
    assert loaded.info.context_length == 128
    assert loaded.info.vocab_size == 257
    assert loaded.tokenizer.eos_token_ids == {256}


def test_small_models_run_in_float32_on_a_cpu(folder):
    loaded = load_model(str(folder))
    dtypes = {array.dtype for _, array in tree_flatten(loaded.model.parameters())}

    assert dtypes == ({mx.float32} if mx.default_device() == mx.cpu else {mx.bfloat16})


def test_a_folder_without_a_config_is_rejected(tmp_path):
    with pytest.raises(ModelLoadError, match=r"config\.json"):
        load_model(str(tmp_path))


def test_a_damaged_model_folder_is_rejected(folder):
    (folder / "model.safetensors").write_bytes(b"nonsense")

    with pytest.raises(ModelLoadError, match="tiny-llama"):
        load_model(str(folder))


def test_an_unknown_architecture_is_rejected(folder):
    (folder / "config.json").write_text('{"model_type": "nosuch"}')

    with pytest.raises(ModelLoadError, match="nosuch"):
        load_model(str(folder))


def test_a_system_exit_in_mlx_lms_code_is_a_load_error(folder):
    """mlx-lm's olmo module exits if the package ai2-olmo is not installed."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "olmo"}))

    with pytest.raises(ModelLoadError, match="tiny-llama.*cannot be loaded.*SystemExit"):
        load_model(str(folder))


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "~/nowhere-at-all"])
def test_a_missing_path_is_rejected(name):
    with pytest.raises(ModelLoadError, match="no folder or GGUF file"):
        load_model(name)


def test_an_id_that_is_not_on_the_hub_is_rejected(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(ModelLoadError, match="there is no such folder"):
        load_model("nobody-here/no-such-model")
