"""Conversion of GGUF files: same logits as the original, in the type for the device."""

import json

import mlx.core as mx
import mlx_lm.utils
import numpy as np
import pytest
from concordance_inference.models.gguf import convert_gguf
from concordance_inference.models.gguf.architecture import (
    Hyperparameters,
    check_tensors,
    config_of,
    tensor_names,
)
from concordance_inference.models.gguf.file import GgufFile
from concordance_shared import ModelLoadError
from gguf import GGMLQuantizationType as Type
from mlx.utils import tree_flatten

IDS = mx.array([[5, 80, 3, 120, 44, 9, 9, 200, 17]])
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def convert(path, weights="float32"):
    folder = path.parent / f"converted-{weights}"
    convert_gguf(path, folder, weights=weights, progress=lambda _: None)
    return folder


def load(path, weights="float32"):
    return mlx_lm.utils.load_model(convert(path, weights))[0]


def differences(model, other):
    return np.abs(np.array(model(IDS).astype(mx.float32) - other(IDS).astype(mx.float32)))


@pytest.mark.parametrize(
    ("architecture", "fields"),
    [
        ("llama", {}),
        ("llama", {"attention_bias": True}),
        ("llama", {"mlp_bias": True}),
        ("llama", {"tie_word_embeddings": True}),
        ("qwen2", {}),
        ("qwen2", {"tie_word_embeddings": True}),
        ("qwen3", {}),
    ],
)
def test_converted_model_has_the_logits_of_the_original(files, architecture, fields):
    model = files.model(architecture, **fields)

    loaded = load(files.write(architecture, model=model))

    assert differences(model, loaded).max() < 1e-3
    assert np.abs(np.array(model(IDS))).max() > 1


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        (
            {"rope_scaling": {"type": "linear", "factor": 4.0}},
            {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0},
        ),
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, {"llama.rope.scale_linear": 4.0}),
        (
            {
                "rope_scaling": {
                    "type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 128,
                    "beta_fast": 30.0,
                    "beta_slow": 2.0,
                }
            },
            {
                "llama.rope.scaling.type": "yarn",
                "llama.rope.scaling.factor": 4.0,
                "llama.rope.scaling.original_context_length": 128,
                "llama.rope.scaling.yarn_beta_fast": 30.0,
                "llama.rope.scaling.yarn_beta_slow": 2.0,
                "llama.rope.scaling.finetuned": True,
            },
        ),
        ({}, {"llama.rope.scaling.type": "none"}),
        ({"num_key_value_heads": 4}, {"llama.attention.head_count_kv": None}),
        ({}, {"llama.attention.head_count_kv": [2, 2]}),
        ({}, {"llama.rope.freq_base": None}),
        ({"rope_theta": 500.0}, {"llama.rope.freq_base": 500.0}),
        ({}, {"llama.attention.key_length": 64, "llama.attention.value_length": 64}),
        ({"head_dim": 32, "num_attention_heads": 4}, {"llama.attention.key_length": 32}),
    ],
)
def test_optional_keys_change_the_computation(files, fields, keys):
    model = files.model(**fields)

    loaded = load(files.write(model=model, keys=keys))

    assert differences(model, loaded).max() < 1e-3


def test_llama3_rope_scaling_is_recovered_from_its_factors(files):
    model = files.model(rope_scaling=LLAMA3, rope_theta=5e5)
    plain = files.model(rope_theta=5e5)
    factors = np.array(model.layers[0].self_attn.rope._freqs) / 5e5 ** (np.arange(0, 64, 2) / 64)
    tensors = {"rope_freqs.weight": factors.astype(np.float32)}

    path = files.write(model=model, keys={"llama.rope.freq_base": 5e5}, tensors=tensors)
    loaded = load(path)

    assert differences(model, loaded).max() < 1e-3
    assert differences(model, plain).max() > 1e-2
    config = json.loads((path.parent / "converted-float32" / "config.json").read_text())
    assert config["rope_scaling"] == LLAMA3


def test_other_rope_factors_are_rejected(files):
    tensors = {"rope_freqs.weight": np.linspace(1, 8, 32, dtype=np.float32)}

    with pytest.raises(ModelLoadError, match=r"rope_freqs\.weight.*Llama 3"):
        convert(files.write(tensors=tensors))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"general.architecture": "mamba"}, "'mamba'; GGUF files of llama, qwen2, qwen3"),
        ({"general.type": "adapter"}, r"'adapter' \(general\.type\)"),
        ({"split.count": 3}, "one of 3 parts"),
        ({"llama.expert_count": 8}, r"llama\.expert_count is 8; only 0"),
        ({"llama.attention.sliding_window": 4096}, r"llama\.attention\.sliding_window is 4096"),
        ({"llama.attention.clamp_kqv": 1.0}, r"llama\.attention\.clamp_kqv is not supported"),
        ({"llama.rope.scaling.type": "longrope"}, r"llama\.rope\.scaling\.type is 'longrope'"),
        ({"llama.rope.scaling.type": "linear"}, r"llama\.rope\.scaling\.factor is missing"),
        ({"llama.rope.scaling.factor": -1.0}, r"llama\.rope\.scaling\.factor is -1"),
        ({"llama.rope.dimension_count": 32}, r"llama\.rope\.dimension_count is 32"),
        ({"llama.attention.head_count_kv": [2, 4]}, "head_count_kv differs between layers"),
        ({"llama.context_length": None}, r"llama\.context_length is missing"),
        ({"llama.block_count": 0}, r"llama\.block_count is 0; it must be an integer from 1"),
        ({"llama.block_count": "two"}, r"llama\.block_count is 'two'"),
        ({"llama.block_count": 3}, r"no tensor 'blk\.2\.attn_k\.weight', .* others"),
        ({"llama.rope.freq_base": float("nan")}, r"llama\.rope\.freq_base is nan"),
        ({"llama.vocab_size": 9999}, r"llama\.vocab_size is larger"),
        (
            {"llama.block_count": 2**40},
            r"llama\.block_count is 1099511627776; it must be an integer",
        ),
        (
            {"llama.block_count": 2**30},
            r"llama\.block_count is 1073741824; the file has only 21 tensors",
        ),
        ({"llama.context_length": ["a", "b"]}, r"llama\.context_length is \['a', 'b'\]; it must"),
        (
            {"llama.context_length": True},
            r"llama\.context_length is True; it must be a finite number",
        ),
        ({"llama.embedding_length": 255}, r"head_count is 4, which does not divide 255"),
        ({"llama.embedding_length": 128}, r"shape \(.*, 256\); .* \(.*, 128\) \(vocab, hidden\)"),
        ({"llama.feed_forward_length": 64}, r"ffn_gate\.weight'.*\(64, 256\) \(intermediate"),
        ({"llama.attention.head_count_kv": 4}, r"attn_k\.weight'.*\(256, 256\) \(kv_heads"),
        ({"llama.attention.sliding_window": [0, 5]}, r"sliding_window is .*5.*; only 0"),
        (
            {"llama.rope.freq_base": 0.0},
            r"llama\.rope\.freq_base is 0.0; it must be a positive number",
        ),
        (
            {"llama.attention.layer_norm_rms_epsilon": -1.0},
            r"epsilon is -1.0; it must be a positive",
        ),
        (
            {"llama.rope.scaling.type": ["none"]},
            r"rope\.scaling\.type is \['none'\]; it must be a string",
        ),
        ({"general.type": [1, 2]}, r"array\(\[1, 2\].*general\.type"),
        ({"split.count": [1, 2]}, r"array\(\[1, 2\].*split\.count"),
        (
            {"general.sampling.temp": "hot"},
            r"general\.sampling\.temp is 'hot'; it must be a finite",
        ),
        ({"general.sampling.temp": [1, 2]}, r"general\.sampling\.temp is array"),
        ({"general.sampling.temp": float("nan")}, r"general\.sampling\.temp is nan"),
    ],
)
def test_unsupported_keys_are_rejected_by_name(files, keys, message):
    with pytest.raises(ModelLoadError, match=rf"tiny\.gguf.*{message}"):
        convert(files.write(keys=keys))

    assert not (files.folder / "converted-float32").exists()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"blk.0.attn_sinks.weight": np.zeros(4, np.float32)}, r"blk\.0\.attn_sinks\.weight"),
        ({"blk.0.attn_q.bias": np.zeros(256, np.float32)}, r"blk\.0\.attn_q\.bias"),
        ({"blk.1.ffn_up.weight": None}, r"no tensor 'blk\.1\.ffn_up\.weight'"),
        ({"token_embd.weight": None}, r"token_embd\.weight"),
        ({"token_embd.weight": np.zeros((20, 256), np.float32)}, "embedding has 20 rows"),
        ({"output_norm.weight": np.zeros(255, np.float32)}, r"\(255,\); .* \(256,\) \(hidden\)"),
        (
            {"output_norm.weight": np.zeros((1, 256), np.float32)},
            r"\(1, 256\); .* \(256,\) \(hidden\)",
        ),
        (
            {"blk.0.attn_q.weight": np.zeros((255, 256), np.float32)},
            r"blk\.0\.attn_q.*\(255, 256\)",
        ),
        ({"output_norm.weight": np.zeros(256, np.int8)}, "'output_norm.weight' has the type I8"),
        (
            {"output_norm.weight": np.full(256, np.nan, np.float32)},
            "output_norm.weight' contains NaN",
        ),
        ({"rope_freqs.weight": np.zeros(32, np.float32)}, "only those of Llama"),
    ],
)
def test_missing_unknown_or_misshapen_tensors_are_rejected_by_name(files, tensors, message):
    with pytest.raises(ModelLoadError, match=message):
        convert(files.write(tensors=tensors))


def test_every_mapped_tensor_has_an_expected_shape(files):
    for architecture in ("llama", "qwen2", "qwen3"):
        file = GgufFile(files.write(architecture))
        parameters = Hyperparameters(file)
        names = tensor_names(file, parameters)

        check_tensors(file, names, config_of(file, parameters))

        assert len(names) == len(file.tensors)


def test_a_weight_that_overflows_its_type_is_rejected(files):
    path = files.write(
        type_=Type.Q4_0, tensors={"output_norm.weight": np.full(256, 1e5, np.float32)}
    )

    convert(path)
    with pytest.raises(
        ModelLoadError, match=r"output_norm\.weight' contains .* too large for float16"
    ):
        convert(path, "quantized")


TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K"]
TYPES += ["Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("weights", ["float32", "quantized"])
def test_activations_have_one_type_for_every_weight_format(files, name, weights):
    loaded = load(files.write(type_=Type[name]), weights)
    expected = {"F32": mx.float32, "BF16": mx.bfloat16}.get(name, mx.float16)
    if weights == "float32":
        expected = mx.float32

    cache = loaded.make_cache() if hasattr(loaded, "make_cache") else None
    cache = cache or mlx_lm.models.cache.make_prompt_cache(loaded)
    logits = loaded(IDS, cache=cache)

    floats = {a.dtype for _, a in tree_flatten(loaded.parameters()) if a.dtype != mx.uint32}
    assert floats == {expected}
    assert {array.dtype for layer in cache for array in layer.state[:2]} == {expected}
    assert logits.dtype == expected
    assert np.isfinite(np.array(logits.astype(mx.float32))).all()


@pytest.mark.parametrize("name", [name for name in TYPES if name.startswith("Q")])
def test_quantized_weights_have_the_logits_of_unpacked_weights(files, name):
    path = files.write(type_=Type[name])

    exact = load(path)
    difference = differences(exact, load(path, "quantized"))

    assert difference.mean() < 0.02 * np.array(exact(IDS)).std()


def test_a_file_of_mixed_types_keeps_the_bits_of_each_tensor(files):
    path = files.write(type_=Type.Q4_K)
    mixed = convert(path, "quantized")
    config = json.loads((mixed / "config.json").read_text())

    assert config["quantization"] == {"group_size": 32, "bits": 4}


def test_large_weights_are_written_in_several_shards(files, monkeypatch):
    monkeypatch.setattr("concordance_inference.models.gguf.convert._SHARD_BYTES", 500_000)
    model = files.model()

    folder = convert(files.write(model=model))

    assert len(list(folder.glob("model*.safetensors"))) > 2
    assert differences(model, mlx_lm.utils.load_model(folder)[0]).max() < 1e-3


def test_recommended_sampling_parameters_are_kept(files):
    keys = {"general.sampling.temp": 0.5, "general.sampling.top_k": 20}

    folder = convert(files.write(keys=keys))

    assert json.loads((folder / "generation_config.json").read_text()) == {
        "temperature": 0.5,
        "top_k": 20,
    }
