"""The cache of converted GGUF files."""

import json
import os

import mlx.core as mx
import pytest
from concordance_inference.models import converted as module
from concordance_inference.models.converted import converted
from concordance_inference.models.embedded import embedded_gguf
from concordance_inference.models.gguf import convert_gguf
from concordance_inference.models.loader import load_model
from concordance_shared import ModelLoadError
from gguf_files import keys_of, model_of, tensors_of, vocabulary, write_gguf


@pytest.fixture(name="cache", autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CONCORDANCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture(name="made")
def _made(monkeypatch):
    """Replace the conversion by one that only records its folder."""
    made = []

    def convert(gguf, folder, *, weights, progress):
        made.append((folder, weights))
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(module, "convert_gguf", convert)
    monkeypatch.setattr(module, "num_parameters", lambda path: 10)
    return made


def test_the_wheel_contains_the_gguf_file():
    assert embedded_gguf().name == "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_a_failed_conversion_leaves_no_files(tmp_path, cache):
    (tmp_path / "a.gguf").write_bytes(b"nonsense")

    with pytest.raises(ModelLoadError):
        converted(tmp_path / "a.gguf", progress=print)

    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_gguf_file_is_converted_once(tmp_path, made):
    (tmp_path / "a.gguf").write_bytes(b"a placeholder for a model")

    first = converted(tmp_path / "a.gguf", progress=print)
    second = converted(tmp_path / "a.gguf", progress=print)

    assert first == second
    assert len(made) == 1
    assert (first / "config.json").read_text() == "{}"


def test_files_of_the_same_name_and_size_are_distinguished(tmp_path, made):
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.gguf").write_bytes(folder[:3].encode() * 100_000)
        os.utime(tmp_path / folder / "a.gguf", (0, 0))

    one = converted(tmp_path / "one" / "a.gguf", progress=print)
    other = converted(tmp_path / "other" / "a.gguf", progress=print)

    assert one != other
    assert len(made) == 2


def test_a_rewritten_gguf_file_is_converted_again(tmp_path, made):
    path = tmp_path / "a.gguf"
    path.write_bytes(bytes(1_000_000))
    os.utime(path, (0, 0))
    first = converted(path, progress=print)
    path.write_bytes(bytes(999_000) + b"x" * 1000)

    assert converted(path, progress=print) != first


@pytest.mark.skipif(mx.default_device() != mx.cpu, reason="the default device is a GPU")
@pytest.mark.parametrize(("count", "weights"), [(10**9, "float32"), (10**9 + 1, "quantized")])
def test_only_small_models_are_unpacked_on_a_cpu(tmp_path, made, monkeypatch, count, weights):
    monkeypatch.setattr(module, "num_parameters", lambda path: count)
    (tmp_path / "a.gguf").write_bytes(b"a placeholder for a model")

    converted(tmp_path / "a.gguf", progress=print)

    assert made[0][1] == weights


def test_an_unwritable_cache_folder_is_an_error_that_names_it(tmp_path, monkeypatch, made):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CONCORDANCE_CACHE", str(tmp_path / "file"))
    (tmp_path / "a.gguf").write_bytes(b"a placeholder for a model")

    with pytest.raises(ModelLoadError, match=r"a\.gguf cannot be converted .*CONCORDANCE_CACHE"):
        converted(tmp_path / "a.gguf", progress=print)


@pytest.mark.parametrize("pre", ["llama-bpe", "qwen2"])
def test_a_gguf_file_is_loaded(tmp_path, pre):
    tokenizer = vocabulary()
    size = tokenizer.get_vocab_size() + 2
    tensors = tensors_of(model_of("llama", size), "llama")
    path = write_gguf(tmp_path / "mine.gguf", keys_of("llama", tokenizer, pre), tensors)

    loaded = load_model(str(path))

    assert loaded.info.id == "mine"
    assert loaded.info.context_length == 512
    assert loaded.tokenizer.eos_token_ids == {size - 1}
    assert loaded.tokenizer.decode(loaded.tokenizer.encode("a 12")) == "a 12"


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [cut, os.unlink])
@pytest.mark.parametrize("name", ["model-00001.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_cached_conversion_is_replaced(tmp_path, name, damage):
    tokenizer = vocabulary()
    tensors = tensors_of(model_of("llama", tokenizer.get_vocab_size() + 2), "llama")
    path = write_gguf(tmp_path / "mine.gguf", keys_of("llama", tokenizer, "llama-bpe"), tensors)
    damage(converted(path, progress=print) / name)

    assert load_model(str(path)).info.id == "mine"


def test_damage_that_keeps_file_sizes_is_an_error_that_names_the_cached_folder(tmp_path):
    tokenizer = vocabulary()
    tensors = tensors_of(model_of("llama", tokenizer.get_vocab_size() + 2), "llama")
    path = write_gguf(tmp_path / "mine.gguf", keys_of("llama", tokenizer, "llama-bpe"), tensors)
    config = converted(path, progress=print) / "config.json"
    config.write_bytes(b"x" * config.stat().st_size)

    with pytest.raises(ModelLoadError, match="delete this folder to convert it again"):
        load_model(str(path))


def test_a_cached_conversion_without_a_file_list_is_replaced(tmp_path, made):
    (tmp_path / "a.gguf").write_bytes(b"a placeholder for a model")
    (converted(tmp_path / "a.gguf", progress=print) / "concordance-files.json").unlink()
    converted(tmp_path / "a.gguf", progress=print)

    assert len(made) == 2


def test_a_damaged_gguf_file_is_rejected_by_the_loader(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"nonsense")

    with pytest.raises(ModelLoadError, match="cannot be read as a GGUF file"):
        load_model(str(tmp_path / "a.gguf"))


@pytest.mark.model
def test_the_embedded_models_quantized_weights_keep_their_bits(tmp_path):
    messages = []
    convert_gguf(embedded_gguf(), tmp_path, weights="quantized", progress=messages.append)
    config = json.loads((tmp_path / "config.json").read_text())

    assert config["rope_traditional"]
    assert config["quantization"] == {
        "group_size": 32,
        "bits": 4,
        "model.embed_tokens": {"group_size": 32, "bits": 8},
    }
    assert any("reading" in line for line in messages)
