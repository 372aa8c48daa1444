"""A tiny random config for each of mlx-lm's model files, built from its `ModelArgs`.

Fields get their values by name from `BY_NAME`, and for some files from `OTHERWISE`.
"""

import dataclasses
import importlib
import typing
from pathlib import Path

import mlx_lm.models
from mlx import nn
from mlx_lm.models import prism_hadamard_qwen35

VOCAB = 257
WINDOW = 8

_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
_YARN = {
    "rope_type": "yarn",
    "factor": 32.0,
    "original_max_position_embeddings": 4096,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
_SLIDING = ["sliding_attention", "full_attention"] * 2
_DENSE_OR_SPARSE = ["dense", "sparse"] * 2

BY_NAME = {
    # sizes
    **dict.fromkeys(("vocab_size", "num_vocab", "embedding_size"), VOCAB),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "model_dim", "hidden_dim"), 32),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_hidden_size", "mlp_hidden_size"), 64),
    **dict.fromkeys(("num_attention_heads", "n_heads", "n_head", "num_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "n_kv_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layers", "n_layer"), 4),
    **dict.fromkeys(("head_dim", "kv_channels", "hidden_size_per_head"), 16),
    **dict.fromkeys(("n_positions", "n_ctx", "block_size", "model_max_length"), 4096),
    "max_position_embeddings": 4096,
    "original_max_position_embeddings": 4096,
    # norms and rotary embeddings
    **dict.fromkeys(("rms_norm_eps", "norm_eps", "layer_norm_eps", "layer_norm_epsilon"), 1e-5),
    **dict.fromkeys(("layernorm_epsilon", "norm_epsilon", "post_norm_eps"), 1e-5),
    **dict.fromkeys(("rope_theta", "rotary_emb_base", "rope_local_base_freq"), 10000.0),
    **dict.fromkeys(("swa_rope_theta", "rope_local_theta"), 10000.0),
    "rope_scaling": None,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "partial_rotary_factor": 0.5,
    "rotary_pct": 0.5,
    "rotary_dim": 4,
    # windows
    **dict.fromkeys(("sliding_window", "window_size", "attention_window_size"), WINDOW),
    **dict.fromkeys(("sliding_window_size", "loop_window_size"), WINDOW),
    "sliding_window_pattern": 2,
    # biases and what else is on or off
    **dict.fromkeys(("attention_bias", "mlp_bias", "use_bias", "bias", "qkv_bias"), False),
    **dict.fromkeys(("use_qkv_bias", "conv_bias", "mamba_proj_bias", "router_bias"), False),
    **dict.fromkeys(("use_conv_bias", "mamba_conv_bias", "norm_topk_prob", "use_qk_norm"), True),
    **dict.fromkeys(("qk_norm", "tie_word_embeddings", "use_expert_bias"), True),
    # experts
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("moe_num_experts",), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "moe_top_k", "top_k_experts"), 2),
    **dict.fromkeys(("num_experts_per_token",), 2),
    **dict.fromkeys(("n_shared_experts", "num_shared_experts", "num_shared_expert"), 1),
    **dict.fromkeys(("moe_num_shared_experts",), 1),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 16),
    **dict.fromkeys(("moe_shared_expert_intermediate_size", "share_expert_dim"), 16),
    **dict.fromkeys(("expert_ffn_hidden_size", "shared_intermediate_size"), 16),
    **dict.fromkeys(("intermediate_size_mlp", "dense_intermediate_size"), 64),
    **dict.fromkeys(("first_k_dense_replace", "num_dense_layers"), 1),
    **dict.fromkeys(("decoder_sparse_step", "moe_layer_freq", "n_group", "topk_group"), 1),
    "num_expert_group": 1,
    "mlp_only_layers": [],
    "routed_scaling_factor": 1.0,
    "topk_method": "noaux_tc",
    "scoring_func": "sigmoid",
    # latent attention
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"), 8),
    "index_head_dim": 16,
    "index_n_heads": 2,
    "index_topk": 8,
    # states
    **dict.fromkeys(("state_size", "ssm_state_size", "mamba_d_state"), 8),
    **dict.fromkeys(("conv_kernel", "mamba_d_conv", "conv1d_width", "short_conv_kernel_size"), 4),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads"), 8),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim"), 8),
    **dict.fromkeys(("mamba_n_groups", "n_groups"), 1),
    "mamba_expand": 2,
    "time_step_rank": 4,
    "time_step_limit": (0.001, 100.0),
    "conv_L_cache": 3,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 2,
    "layer_group_size": 2,
    "group_norm_size": 1,
    # multipliers
    **dict.fromkeys(("logits_scaling", "embedding_multiplier", "residual_multiplier"), 1.0),
    "attention_multiplier": 0.25,
    "scale_depth": 1.4,
    "scale_emb": 2.0,
    "dim_model_base": 16,
    "query_pre_attn_scalar": 16,
    "final_logit_softcapping": 30.0,
    "logits_soft_cap": 30.0,
}

_LAYER = "model.layers"
_KDA = {"kda_layers": [1, 3], "num_heads": 4, "head_dim": 8, "short_conv_kernel_size": 4}
_LLAMA_4_SCALING = {
    "rope_type": "default",
    "rope_theta": 10000.0,
    "llama_4_scaling_beta": 0.1,
    "original_max_position_embeddings": 16,
}
_SLIDING_ROPE = {kind: {"rope_type": "default", "rope_theta": 10000.0} for kind in set(_SLIDING)}


def _text(model_type: str, **fields: typing.Any) -> dict[str, typing.Any]:
    """Nest the config of a language model in another file's config."""
    text = {**BY_NAME, **OTHERWISE.get(model_type, {}), **fields, "model_type": model_type}
    return {"text_config": text}


#: Model file -> fields that override `BY_NAME`.
OTHERWISE: dict[str, dict[str, typing.Any]] = {
    "afm7": {"num_layers": 3, "num_kv_reuse_layers": 2},
    "afmoe": {"layer_types": _SLIDING},
    "apertus": {"post_norm": False},
    "baichuan_m1": {
        "num_hidden_layers": 2,
        "sliding_window_layers": [1],
        "conv_window": 2,
        "num_swa_attention_heads": 4,
        "num_swa_key_value_heads": 2,
        "tie_word_embeddings": False,
    },
    "bitnet": {"head_dim": 8},
    "cohere2": {"head_dim": 8},
    "dbrx": {
        "ffn_config": {"ffn_hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2},
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0},
    },
    "deepseek_v2": {"rope_scaling": _YARN, "topk_method": "greedy"},
    "deepseek_v41": {
        "num_hidden_layers": 3,
        "o_groups": 2,
        "o_lora_rank": 8,
        "compress_ratios": (1, 4, 4),
        "kv_source_layer_ids": (0, 1),
        "index_source_layer_ids": (1,),
        "hc_mult": 2,
    },
    "exaone": {"head_dim": 8},
    "exaone4": {"sliding_window_pattern": "LG"},
    "exaone_moe": {"layer_types": _SLIDING, "is_moe_layer": [False, True] * 2},
    "falcon_h1": {"mamba_d_ssm": 64, "lm_head_multiplier": 1.0},
    "gear": {"layer_types": ["conv_mixer", "sliding_attention", "full_attention", "conv_mixer"]},
    "gemma4_text": {
        "layer_types": _SLIDING,
        "global_head_dim": 16,
        "num_kv_shared_layers": 2,
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": VOCAB,
        "rope_parameters": _SLIDING_ROPE,
    },
    "glm_moe_dsa": {"num_key_value_heads": 4},
    "gpt_oss": {"layer_types": _SLIDING, "rope_scaling": _YARN},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "hunyuan": {
        "use_mixed_mlp_moe": True,
        "use_cla": True,
        "cla_share_factor": 2,
        "rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0},
    },
    "jamba": {
        "attn_layer_offset": 1,
        "attn_layer_period": 2,
        "expert_layer_offset": 1,
        "expert_layer_period": 2,
    },
    "kimi_linear": {"linear_attn_config": _KDA, "head_dim": 8},
    "laguna": {"layer_types": _SLIDING},
    "lfm2": {
        "block_dim": 32,
        "block_multiple_of": 8,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
        "block_ff_dim": 64,
        "full_attn_idxs": [1],
    },
    "lfm2_moe": {"full_attn_idxs": [1]},
    "lille-130m": {"n_embd": 128, "n_head": 4},
    "llama": {"layer_types": _SLIDING},
    "llama4_text": {"no_rope_layers": [1, 1, 1, 0]},
    "longcat_flash": {
        "attention_method": "MLA",
        "zero_expert_type": "identity",
        "zero_expert_num": 2,
        "mla_scale_q_lora": True,
        "mla_scale_kv_lora": True,
    },
    "longcat_flash_ngram": {
        "zero_expert_num": 2,
        "mla_scale_q_lora": True,
        "mla_scale_kv_lora": True,
        "ngram_vocab_size_ratio": 2,
    },
    "mellum": {"layer_types": _SLIDING, "rope_parameters": _SLIDING_ROPE},
    "mimo_v2_flash": {
        "hybrid_layer_pattern": [1, 0, 1, 0],
        "moe_layer_freq": [0, 1, 1, 1],
        "add_swa_attention_sink_bias": True,
        "add_full_attention_sink_bias": False,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 2,
        "swa_head_dim": 16,
        "swa_v_head_dim": 8,
        "n_shared_experts": None,
    },
    "minicpm3": {
        "rope_scaling": {
            "original_max_position_embeddings": 4096,
            "short_factor": 1.0,
            "long_factor": 1.0,
            "type": "longrope",
        }
    },
    "ministral3": {"layer_types": _SLIDING, "rope_parameters": _LLAMA_4_SCALING},
    "mistral4": {"rope_parameters": _LLAMA_4_SCALING, "num_key_value_heads": 4},
    "muse_glimmer": {"layer_types": _SLIDING},
    "nanbeige": {"num_loops": 2},
    "nemotron": {"hidden_act": "relu2"},
    "nemotron-nas": {
        "block_configs": [
            {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 1.0}},
            {"attention": {"no_op": True}, "ffn": {"ffn_mult": 1.0}},
            {"attention": {"replace_with_linear": True}, "ffn": {"no_op": True}},
            {"attention": {"n_heads_in_group": 4}, "ffn": {"replace_with_linear": True}},
        ],
    },
    "nemotron_h": {"layers_block_type": ["mamba", "attention", "moe", "mlp"]},
    "olmo3": {"layer_types": _SLIDING},
    "olmo_hybrid": {
        "layer_types": ["linear_attention", "full_attention"] * 2,
        "linear_allow_neg_eigval": True,
        "linear_num_key_heads": 4,
    },
    "openelm": {
        "num_transformer_layers": 2,
        "ffn_dim_divisor": 8,
        "num_query_heads": [4, 4],
        "num_kv_heads": [2, 1],
        "ffn_multipliers": [1.0, 2.0],
    },
    "phi3small": {
        "vocab_size": 100352,  # it writes into the logits of tokens that it names by number
        "dense_attention_every_n_layers": 2,
        "ff_intermediate_size": 64,
        "gegelu_limit": 20.0,
        "blocksparse_block_size": 32,
        "blocksparse_num_local_blocks": 1,
        "blocksparse_vert_stride": 2,
    },
    "phimoe": {
        "rope_scaling": {
            "short_mscale": 1.0,
            "long_mscale": 1.0,
            "short_factor": [1.0] * 4,
            "long_factor": [1.0] * 4,
            "type": "longrope",
        }
    },
    "plamo": {"n_shared_head": 2},
    "qwen": {"kv_channels": 8},
    "recurrent_gemma": {
        "num_hidden_layers": 3,
        "num_key_value_heads": 1,
        "block_types": ["recurrent", "recurrent", "attention"],
    },
    "rwkv7": dict.fromkeys(
        ("a_low_rank_dim", "v_low_rank_dim", "gate_low_rank_dim", "decay_low_rank_dim"), 8
    ),
    "smollm3": {"layer_types": _SLIDING},
    "spark2_5": {"layer_types": _SLIDING, "rope_parameters": _SLIDING_ROPE},
    "step3p5": {
        "layer_types": _SLIDING,
        "num_attention_groups": 2,
        "moe_layers_enum": "1,2,3",
        "partial_rotary_factors": [0.5] * 4,
    },
}
# Files that hold a language model of another file's kind.
OTHERWISE |= {
    "kimi_k3": _text(
        "kimi_linear",
        linear_attn_config=_KDA,
        hidden_act="situ",
        activation_situ_beta=1.0,
        activation_situ_linear_beta=1.0,
        attn_res_block_size=2,
        head_dim=8,
    ),
    "minimax_m3_vl": _text(
        "minimax_m3",
        index_n_heads=2,
        index_head_dim=16,
        index_block_size=4,
        index_topk_blocks=2,
        layer_types=["full_attention", "minimax_m3_sparse"] * 2,
        rotary_dim=8,
        moe_layer_freq=None,
        mlp_layer_types=["dense", "sparse"] * 2,
    ),
    "muse_spark": _text(
        "muse_spark_text",
        layer_types=_SLIDING,
        layer_rope_theta=[10000.0] * 4,
        output_multiplier=0.2,
        moe_hidden_size=32,
        num_shared_experts=0,
    ),
    "gemma3": _text("gemma3_text"),
    "gemma3n": _text(
        "gemma3n_text",
        layer_types=_SLIDING,
        num_kv_shared_layers=2,
        vocab_size_per_layer_input=VOCAB,
        activation_sparsity_pattern=[0.95, 0.0] * 2,
        hidden_size_per_layer_input=8,
        altup_num_inputs=2,
        altup_coef_clip=120.0,
        altup_correct_scale=True,
        altup_active_idx=0,
        laurel_rank=4,
    ),
    "gemma4": _text("gemma4_text"),
    "kimi_k25": _text("deepseek_v3"),
    "kimi_vl": _text("deepseek_v3"),
    "lfm2-vl": _text("lfm2"),
    "llama4": _text(
        "llama4_text",
        attention_chunk_size=WINDOW,
        interleave_moe_layer_step=1,
        num_experts_per_tok=1,
    ),
    "mistral3": _text("ministral3"),
    "pixtral": _text("llama", layer_types=None),
    "prism_hadamard_qwen35": {
        **_text("qwen3_5", num_experts=0, hidden_size=512),
        "tensor_namespace": prism_hadamard_qwen35._NAMESPACES[2],
        "quantization": prism_hadamard_qwen35._QUANTIZATION,
        "modules": [
            {
                "path": f"{_LAYER}.{i}.mlp.up_proj",
                "embedding": False,
                "dtype": "float16",
                "block": b,
            }
            for i, b in enumerate((0, 512))
        ],
    },
    "qwen2_vl": _text("qwen2"),
    "qwen3_5": _text("qwen3_5", num_experts=0),
    "qwen3_5_moe": _text("qwen3_5"),
    "qwen3_vl": _text("qwen3"),
    "qwen3_vl_moe": _text("qwen3_moe"),
}
OTHERWISE["qwen2_vl"] |= OTHERWISE["qwen2_vl"]["text_config"]
OTHERWISE["qwen3_vl"] |= OTHERWISE["qwen3_vl"]["text_config"]


#: Replacements of classes that run on Metal only, by module.
STAND_INS: dict[str, dict[str, typing.Any]] = {"bitnet": {"BitLinear": nn.Linear}}


def model_files() -> list[str]:
    """Return the names of mlx-lm's model files."""
    (folder,) = mlx_lm.models.__path__
    return sorted(path.stem for path in Path(folder).glob("*.py") if path.stem != "__init__")


def fields_of(args: type, name: str) -> dict[str, typing.Any]:
    """Return the fields of a tiny config."""
    known = {field.name for field in dataclasses.fields(args)}
    return {
        "model_type": name,
        **{field: value for field, value in BY_NAME.items() if field in known},
        **OTHERWISE.get(name, {}),
    }


def module_of(name: str) -> typing.Any:
    """Import a model file, with replacements of classes that run on Metal only."""
    module = importlib.import_module(f"mlx_lm.models.{name}")
    vars(module).update(STAND_INS.get(name, {}))
    return module
