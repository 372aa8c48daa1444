"""Damaged model files: a `ModelLoadError`, or no effect."""

import json
import subprocess
import sys
from contextlib import suppress

import pytest
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.models.loader import explained, load_model
from concordance_inference.models.options import ModelOptions
from concordance_shared import ModelLoadError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_folder import write_tiny_folder

FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
KEYS = [
    "model_type",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "rope_theta",
    "rope_scaling",
    "max_position_embeddings",
    "eos_token_id",
    "quantization",
    "text_config",
    "tie_word_embeddings",
]


@pytest.fixture(name="folder")
def _folder(tmp_path):
    return write_tiny_folder(tmp_path / "tiny")


@pytest.fixture(name="original", scope="module")
def _original(tmp_path_factory):
    folder = write_tiny_folder(tmp_path_factory.mktemp("models") / "tiny")
    return folder, {path.name: path.read_bytes() for path in folder.iterdir()}


def load_and_run(folder):
    loaded = load_model(str(folder))
    with explained("cannot be run"):
        ModelRunner(loaded.model)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_model_file_is_rejected(folder, name):
    (folder / name).unlink()

    with pytest.raises(ModelLoadError, match=r"config\.json|safetensors"):
        load_model(str(folder))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("length", [0, 9, 100])
def test_a_truncated_model_file_is_rejected(folder, name, length):
    (folder / name).write_bytes((folder / name).read_bytes()[:length])

    with pytest.raises(ModelLoadError, match="tiny"):
        load_model(str(folder))


def test_truncated_weights_are_rejected(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(ModelLoadError, match="tiny"):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 3}, "tiny"),
        ({"hidden_size": "wide"}, "tiny"),
        ({"text_config": [1]}, "tiny"),
        ({"vocab_size": 10}, "tiny"),
        ({"rope_theta": None}, "cannot be run"),
        ({"rope_scaling": {"type": "nosuch"}}, "nosuch"),
        ({"model_file": "evil.py"}, "trust_remote_code"),
    ],
)
def test_an_invalid_config_is_rejected(folder, changes, message):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))

    with pytest.raises(ModelLoadError, match=message):
        load_and_run(folder)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_damage_of_a_model_file_is_rejected_or_harmless(original, data):
    folder, files = original
    for name, content in files.items():
        (folder / name).write_bytes(content)
    name = data.draw(st.sampled_from(FILES))
    if name == "config.json" and data.draw(st.booleans()):
        values = st.sampled_from([None, -1, 0, 1, 1e30, True, "x", "", [], {}, [1], {"type": "x"}])
        config = json.loads(files[name])
        config[data.draw(st.sampled_from(KEYS))] = data.draw(values)
        (folder / name).write_text(json.dumps(config))
    else:
        changed = bytearray(files[name])
        position = data.draw(st.integers(0, min(len(changed), 3000) - 1))
        changed[position] = data.draw(st.integers(0, 255))
        (folder / name).write_bytes(changed)

    with suppress(ModelLoadError):
        load_and_run(folder)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "~nosuchuser/x", "a.gguf", "a b/c:d"])
def test_an_invalid_model_name_is_rejected(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(ModelLoadError):
        load_model(name)


def test_a_file_that_is_not_a_gguf_file_is_rejected(tmp_path):
    (tmp_path / "model.safetensors").write_text("")

    with pytest.raises(ModelLoadError, match=r"NAME\.gguf"):
        load_model(str(tmp_path / "model.safetensors"))


def test_missing_adapters_are_rejected(folder, tmp_path):
    with pytest.raises(ModelLoadError, match="adapter"):
        load_model(str(folder), ModelOptions(adapter_path=tmp_path / "nosuch"))


def test_remote_code_runs_only_with_trust_remote_code(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_file": "mine.py"}))
    (folder / "mine.py").write_text("from mlx_lm.models.llama import Model, ModelArgs")

    with pytest.raises(ModelLoadError, match="trust_remote_code"):
        load_model(str(folder))
    assert load_model(str(folder), ModelOptions(trust_remote_code=True)).info.id == "tiny"


@pytest.mark.process
def test_a_model_that_fails_to_load_ends_the_command_with_status_1_and_one_line(folder):
    (folder / "config.json").write_text("{")

    done = subprocess.run(
        [sys.executable, "-m", "concordance_inference", "generate", "hi", "--model", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "concordance: model 'tiny' cannot be loaded" in done.stderr
    assert "Traceback" not in done.stderr
