"""The embedded model: from the GGUF in the wheel to a folder that mlx-lm loads."""

import json

import mlx.core as mx
import pytest
from concordance_inference.models import embedded
from concordance_inference.models.embedded import converted, embedded_gguf
from concordance_inference.models.gguf import convert_gguf
from concordance_shared import ModelLoadError


def test_the_wheel_holds_the_file():
    assert embedded_gguf().name == "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_a_file_that_is_no_gguf_is_refused(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"nonsense")

    with pytest.raises(ModelLoadError, match="cannot be read as a GGUF file"):
        convert_gguf(tmp_path / "a.gguf", tmp_path / "out", weights="float32", progress=print)


def test_another_architecture_is_refused(tmp_path):
    path = tmp_path / "a.gguf"
    mx.save_gguf(str(path), {"a": mx.zeros((2,))}, {"general.architecture": "mamba"})

    with pytest.raises(ModelLoadError, match="'mamba'.*llama"):
        convert_gguf(path, tmp_path / "out", weights="float32", progress=print)


def test_a_conversion_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("CONCORDANCE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.gguf").write_bytes(b"nonsense")

    with pytest.raises(ModelLoadError):
        converted(tmp_path / "a.gguf", progress=print)

    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_a_conversion_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("CONCORDANCE_CACHE", str(tmp_path))
    (tmp_path / "a.gguf").write_bytes(b"stands for a model")
    made = []

    def convert(gguf, folder, *, weights, progress):
        made.append(folder)
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(embedded, "convert_gguf", convert)
    first = converted(tmp_path / "a.gguf", progress=print)
    second = converted(tmp_path / "a.gguf", progress=print)

    assert first == second
    assert len(made) == 1
    assert (first / "config.json").read_text() == "{}"


@pytest.mark.model
def test_quantized_weights_keep_their_bits(tmp_path):
    said = []
    convert_gguf(embedded_gguf(), tmp_path, weights="quantized", progress=said.append)
    config = json.loads((tmp_path / "config.json").read_text())

    assert config["rope_traditional"]
    assert config["quantization"] == {
        "group_size": 32,
        "bits": 4,
        "model.embed_tokens": {"group_size": 32, "bits": 8},
    }
    assert any("reading" in line for line in said)
