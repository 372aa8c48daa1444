"""Context length by config, family default, and learned position embeddings."""

import json
import logging
from types import SimpleNamespace

import mlx.core as mx
import pytest
from concordance_inference.models.context_length import GUESS, UNLIMITED, context_length
from concordance_inference.models.loader import load_model
from concordance_inference.models.options import ModelOptions
from concordance_shared import ModelLoadError
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import gpt2, mamba
from mlx_lm.models.cache import KVCache
from mlx_lm.models.rope_utils import initialize_rope
from tiny_folder import CONFIG, write_tiny_folder


class Model(nn.Module):
    """A model with only the parts that a test needs."""

    def __init__(self, *, args=None, **parts):
        super().__init__()
        self.args = args
        self.layers = []
        for name, part in parts.items():
            setattr(self, name, part)

    def make_cache(self):
        return [KVCache()]


def scaled(scaling, length=4096):
    return Model(rope=initialize_rope(16, 10000.0, False, scaling, length))


KEYS = [
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "max_sequence_length",
    "model_max_length",
    "n_ctx",
    "max_context_length",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("nested", [False, True])
def test_every_config_key_gives_the_context_length(key, nested):
    text = {"model_type": "some", key: 1234}

    assert context_length(Model(), {"text_config": text} if nested else text) == 1234


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # Qwen 1: RoPE supports more positions than the model was trained for.
        ({"max_position_embeddings": 32768, "seq_length": 8192}, 8192),
        # Command-R: the first key is smaller, the second one is right.
        ({"max_position_embeddings": 8192, "model_max_length": 131072}, 131072),
        ({"max_position_embeddings": None, "n_positions": 77}, 77),
        ({"max_position_embeddings": 4096.0}, 4096),
        ({"max_position_embeddings": 10, "text_config": {"max_position_embeddings": 20}}, 20),
        ({"max_position_embeddings": 10, "text_config": {"max_position_embeddings": None}}, 10),
    ],
)
def test_the_smallest_of_several_config_keys_is_used(config, expected):
    assert context_length(Model(), config) == expected


@pytest.mark.parametrize("value", ["4096", True, -1, 0, [1], float("inf"), float("nan")])
def test_an_invalid_number_of_positions_is_rejected_by_name(value):
    with pytest.raises(ModelLoadError, match="max_position_embeddings is "):
        context_length(Model(), {"max_position_embeddings": value})


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ({"type": "linear", "factor": 4.0}, 16384),
        ({"rope_type": "linear", "factor": 4.0}, 16384),
        ({"type": "dynamic", "factor": 2.0}, 8192),
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}, 16384),
        ({"type": "yarn", "factor": 4.0}, 16384),
        # These configs have the scaled length.
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}, 4096),
        (
            {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 512,
            },
            4096,
        ),
        (
            {
                "rope_type": "longrope",
                "factor": 32.0,
                "short_factor": [1.0] * 8,
                "long_factor": [2.0] * 8,
                "original_max_position_embeddings": 128,
            },
            4096,
        ),
        ({"rope_type": "default"}, 4096),
        ({"type": "linear", "factor": 0.5}, 4096),
        (None, 4096),
    ],
)
def test_context_length_with_rope_scaling(scaling, expected):
    config = {"max_position_embeddings": 4096, "rope_scaling": scaling}

    assert context_length(scaled(scaling), config) == expected


@pytest.mark.parametrize("factor", [1e300, float("inf"), float("nan"), "4", None, -4.0])
def test_an_invalid_rope_scaling_factor_is_ignored(factor):
    model = scaled({"type": "yarn", "factor": 4.0})
    config = {"max_position_embeddings": 4096, "rope_scaling": {"type": "yarn", "factor": factor}}

    assert context_length(model, config) == 4096


def test_rope_scaling_in_the_format_of_transformers_5():
    scaling = {"rope_type": "linear", "factor": 4.0}
    config = {"max_position_embeddings": 4096}

    for parameters in (scaling, {"full_attention": scaling, "sliding_attention": {}}):
        made = context_length(scaled(scaling), config | {"rope_parameters": parameters})
        assert made == 16384


def test_gemma_3_configs_have_the_scaled_length():
    scaling = {"rope_type": "linear", "factor": 8.0}
    config = {"model_type": "gemma3_text", "max_position_embeddings": 131072}

    assert context_length(scaled(scaling), config | {"rope_scaling": scaling}) == 131072


def test_rope_scaling_that_mlx_lm_does_not_apply_is_ignored(caplog):
    config = {"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 4.0}}

    assert context_length(Model(rope=nn.RoPE(16)), config) == 4096
    assert "does not apply" in caplog.text


def test_a_config_without_a_context_length_uses_its_familys_default():
    inner = {"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0}}

    assert context_length(Model(), {"model_type": "gemma3", "text_config": inner}) == 131072
    assert context_length(Model(), {"model_type": "gpt_neox"}) == 2048


def test_a_family_unknown_to_transformers_uses_mlx_lms_default():
    args = SimpleNamespace(max_position_embeddings=777)
    outer = Model(language_model=Model(args=args))

    assert context_length(Model(args=args), {"model_type": "only_here"}) == 777
    assert context_length(outer, {"model_type": "only_here"}) == 777


def test_the_tokenizers_context_length_is_the_last_source(caplog):
    config = {"model_type": "only_here"}

    assert context_length(Model(), config, SimpleNamespace(model_max_length=555)) == 555
    assert not caplog.text
    assert context_length(Model(), config, SimpleNamespace(model_max_length=10**30)) == GUESS
    assert "--context-length" in caplog.text


def test_a_recurrent_model_has_no_context_length_limit():
    args = mamba.ModelArgs(
        model_type="mamba",
        vocab_size=50,
        hidden_size=8,
        intermediate_size=16,
        state_size=4,
        num_hidden_layers=2,
        conv_kernel=4,
        use_bias=False,
        use_conv_bias=True,
        time_step_rank=2,
    )

    assert context_length(mamba.Model(args), {"model_type": "mamba"}) == UNLIMITED


def tiny_gpt2(rows=32):
    args = gpt2.ModelArgs(
        model_type="gpt2",
        n_ctx=rows,
        n_embd=16,
        n_head=2,
        n_layer=1,
        n_positions=rows,
        layer_norm_epsilon=1e-5,
        vocab_size=257,
    )
    return gpt2.Model(args)


def test_learned_positions_are_a_hard_limit():
    assert context_length(tiny_gpt2(), {"model_type": "gpt2", "n_positions": 64}) == 32
    assert context_length(tiny_gpt2(), {"model_type": "gpt2"}) == 32
    assert context_length(tiny_gpt2(), {}, chosen=20) == 20
    with pytest.raises(
        ModelLoadError, match="33 exceeds the model's 32 learned position embeddings"
    ):
        context_length(tiny_gpt2(), {}, chosen=33)


def test_a_longer_context_length_can_be_chosen_and_is_logged(caplog):
    config = {"max_position_embeddings": 100}

    with caplog.at_level(logging.WARNING):
        assert context_length(Model(), config, chosen=200) == 200

    assert "200 exceeds the 100 that the model was made for" in caplog.text


def test_a_chosen_context_length_is_reported(tmp_path):
    folder = write_tiny_folder(tmp_path / "tiny")

    loaded = load_model(str(folder), ModelOptions(context_length=50))

    assert loaded.info.context_length == 50


def test_gpt2_loaded_from_a_folder_is_limited_by_its_positions(tmp_path):
    folder = write_tiny_folder(tmp_path / "tiny")
    args = {name: value for name, value in vars(tiny_gpt2().args).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(args | {"eos_token_id": CONFIG["eos_token_id"]}))
    weights = dict(tree_flatten(tiny_gpt2().parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights)

    assert load_model(str(folder)).info.context_length == 32
