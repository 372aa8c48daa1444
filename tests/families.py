"""Tiny random models of mlx-lm's families, which differ in their caches."""

import importlib
from functools import cache

import mlx.core as mx
import pytest
from mlx.utils import tree_map

VOCAB = 257


def slow(*values):
    """Return parameters marked as slow."""
    return pytest.param(*values, marks=pytest.mark.slow)


_ATTENTION = {
    "vocab_size": VOCAB,
    "rms_norm_eps": 1e-5,
    "hidden_size": 32,
    "intermediate_size": 64,
    "head_dim": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
_YARN = {
    "rope_type": "yarn",
    "factor": 32.0,
    "original_max_position_embeddings": 4096,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
_EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "moe_intermediate_size": 16,
    "norm_topk_prob": True,
}
_LATENT = {
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "num_hidden_layers": 2,
}
_STATES = {
    "mamba_d_conv": 4,
    "mamba_d_state": 8,
    "mamba_d_head": 8,
    "mamba_n_heads": 8,
    "mamba_n_groups": 1,
    "mamba_proj_bias": False,
    "mamba_conv_bias": True,
}

#: Family -> differences from `_ATTENTION`, and the module of mlx-lm if its name differs.
_FIELDS = {
    # full attention in every layer
    "llama": {"num_hidden_layers": 2},
    "qwen3_moe": {"num_hidden_layers": 2, **_EXPERTS},
    "deepseek_v3": _LATENT,
    # lists of caches, one of them for an index
    "deepseek_v32": {**_LATENT, "index_head_dim": 16, "index_n_heads": 2, "index_topk": 8},
    # sliding windows
    "gpt_oss": {
        "num_hidden_layers": 4,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": 8,
        "rope_theta": 150000,
        "rope_scaling": _YARN,
    },
    "gemma3_text": {
        "num_hidden_layers": 4,
        "sliding_window": 8,
        "sliding_window_pattern": 2,
        "query_pre_attn_scalar": 16,
    },
    # masks with a window that is wider than its caches' by one
    "plamo3": {"num_hidden_layers": 4, "sliding_window": 8, "sliding_window_pattern": 2},
    # chunked attention, and masks that need one length for all rows
    "llama4": {
        "text_config": {
            **_ATTENTION,
            "model_type": "llama4_text",
            "attention_bias": False,
            "attention_chunk_size": 8,
            "interleave_moe_layer_step": 1,
            "intermediate_size_mlp": 64,
            "num_experts_per_tok": 1,
            "num_hidden_layers": 4,
            "num_local_experts": 2,
            "rope_scaling": None,
            "use_qk_norm": True,
        },
    },
    # rows share a pass only with equal cache lengths
    "gemma2": {"num_hidden_layers": 2, "query_pre_attn_scalar": 16},
    # layers whose caches are never written
    "nemotron-nas": {
        "num_hidden_layers": 3,
        "block_configs": [
            {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 1.0}},
            {"attention": {"replace_with_linear": True}, "ffn": {"no_op": True}},
            {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 1.0}},
        ],
    },
    # recurrent states only
    "rwkv7": {
        "num_hidden_layers": 2,
        "norm_eps": 1e-5,
        "a_low_rank_dim": 8,
        "v_low_rank_dim": 8,
        "gate_low_rank_dim": 8,
        "decay_low_rank_dim": 8,
    },
    "mamba": {
        "num_hidden_layers": 2,
        "state_size": 8,
        "conv_kernel": 4,
        "use_bias": False,
        "use_conv_bias": True,
        "time_step_rank": 4,
    },
    # recurrent and attention layers
    "qwen3_next": {
        "num_hidden_layers": 4,
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_conv_kernel_dim": 4,
        "shared_expert_intermediate_size": 16,
        "partial_rotary_factor": 0.5,
        "full_attention_interval": 2,
        **_EXPERTS,
    },
    "lfm2": {
        "num_hidden_layers": 3,
        "norm_eps": 1e-5,
        "conv_bias": False,
        "conv_L_cache": 3,
        "block_dim": 32,
        "block_multiple_of": 8,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
        "block_ff_dim": 64,
        "full_attn_idxs": [1],
    },
    # a recurrent state and attention in one layer, in a list of caches
    "falcon_h1": {"num_hidden_layers": 2, "mamba_d_ssm": 64, "lm_head_multiplier": 1.0, **_STATES},
    # recurrent and sliding-window layers
    "recurrent_gemma": {
        "num_hidden_layers": 3,
        "attention_bias": False,
        "conv1d_width": 4,
        "logits_soft_cap": 30.0,
        "attention_window_size": 8,
        "num_key_value_heads": 1,
        "block_types": ["recurrent", "recurrent", "attention"],
    },
    # short convolutions and attention in one layer, some with a sliding window
    "baichuan_m1": {
        "num_hidden_layers": 2,
        "sliding_window": 8,
        "sliding_window_layers": [1],
        "conv_window": 2,
        "num_swa_attention_heads": 4,
        "num_swa_key_value_heads": 2,
    },
    # caches of an unknown kind
    "deepseek_v41": {
        "num_hidden_layers": 3,
        "q_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "o_groups": 2,
        "o_lora_rank": 8,
        "moe_intermediate_size": 16,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": 8,
        "compress_ratios": (1, 4, 4),
        "kv_source_layer_ids": (0, 1),
        "index_source_layer_ids": (1,),
        "index_n_heads": 2,
        "index_head_dim": 16,
        "index_topk": 8,
        "hc_mult": 2,
    },
}

#: Families with the most different caches, for slow laws.
FAMILIES = ("llama", "gpt_oss", slow("qwen3_next"))

EVERY_FAMILY = tuple(
    family if family in ("llama", "gpt_oss", "mamba") else slow(family) for family in _FIELDS
)


def build_model(family, seed=1, **fields):
    """Build a random model of a family, the same one for the same seed."""
    module = importlib.import_module(f"mlx_lm.models.{family}")
    mx.random.seed(seed)
    fields = {"model_type": family, **_ATTENTION, **_FIELDS[family], **fields}
    model = module.Model(module.ModelArgs.from_dict(fields))
    model.update(tree_map(_larger, model.parameters()))
    mx.eval(model.parameters())
    return model


def _larger(weights):
    """Set larger weights than those at the start of training, and none that are zero.

    A model whose next token depends on all it read: a cache that is wrong anywhere changes what
    it says.
    """
    if weights.ndim < 2:
        return weights
    if not mx.any(weights).item():
        return 0.3 * mx.random.normal(weights.shape)
    return 3 * weights


@cache
def model_named(family):
    """Return the random model of a family, built once."""
    return build_model(family)


#: With a margin below this, in standard deviations, the order of additions decides which expert or
#: block is selected, and all later logits depend on it.
NEAR_TIE = 1e-4


def closest_choice(model, token_ids):
    """Return the smallest margin by which the model selects experts or blocks for these tokens.

    In standard deviations of the values by which it selects; infinite for a model without either.
    """
    margins = [float("inf")]

    def spied(values, kth, axis=-1, **options):
        ordered = mx.sort(values.astype(mx.float32), axis=axis)
        around = mx.take(ordered, mx.array([kth - 1, kth, kth + 1]) % values.shape[axis], axis=axis)
        gaps = mx.abs(mx.diff(around, axis=axis)) / mx.std(mx.where(ordered > -1e8, ordered, 0))
        # Masked values are not selected, and equal ones are selected by position: neither counts.
        margins.append(mx.min(mx.where((gaps > 0) & (gaps < 1e8), gaps, mx.inf)).item())
        return plain(values, kth, axis=axis, **options)

    plain = mx.argpartition
    mx.disable_compile()
    mx.argpartition = spied
    try:
        mx.eval(model(mx.array([list(token_ids)])))
    finally:
        mx.argpartition = plain
        mx.enable_compile()
    return min(margins)
