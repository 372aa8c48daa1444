"""Parameters of other servers that change the output and are not implemented here.

Unknown fields are ignored, since clients send extras. A parameter in these tables is known to
change the output: a request that sets it is refused by its name rather than run without it. Each
name has the JSON values that change nothing and are accepted; `null` is always one of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from concordance_shared import InvalidRequestError

Harmless = Sequence[Any]

_OPENAI: dict[str, Harmless] = {
    "functions": ([],),
    "function_call": ("auto", "none"),
    "audio": (),
    "modalities": (["text"],),
    "web_search_options": (),
    "moderation": (),
    "echo": (False,),
    "suffix": ("",),
    "max_output_tokens": (),
    "max_completion_length": (),
}

#: Of Anthropic's, Mistral's, DeepSeek's, xAI's, OpenRouter's and other hosted APIs.
_HOSTED: dict[str, Harmless] = {
    "extra_body": ({},),
    "system": ("",),
    "stop_sequences": ([],),
    "random_seed": (),
    "safe_prompt": (False,),
    "prompt_mode": (),
    "guardrails": ([], {}),
    "guardrail_config": ({},),
    "moderations": ([],),
    "safety_settings": ([],),
    "safety_model": ("",),
    "search_parameters": (),
    "plugins": ([],),
    "models": ([],),
    "transforms": ([],),
    "top_a": (0,),
    "response_schema": (),
    "prompt_truncate_len": (),
    "prompt_truncate_length": (),
    "num_ctx": (),
    "num_predict": (-1,),
}

_VLLM: dict[str, Harmless] = {
    "use_beam_search": (False,),
    "length_penalty": (1,),
    "early_stopping": (False,),
    "include_stop_str_in_output": (False,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True, False),
    "truncate_prompt_tokens": (),
    "logprobs_mode": ("raw_logprobs",),
    "allowed_token_ids": (),
    "bad_words": ([],),
    "add_special_tokens": (False,),
    "documents": ([],),
    "chat_template": (),
    "mm_processor_kwargs": ({},),
    "guided_whitespace_pattern": (),
    "guided_decoding_backend": ("auto", "guidance", "xgrammar", "outlines"),
    "structural_tag": (),
    "logits_processors": ([],),
    "return_tokens_as_token_ids": (False,),
    "vllm_xargs": ({},),
    "repetition_detection": (),
}

_SGLANG: dict[str, Harmless] = {
    "ebnf": ("",),
    "stop_regex": ("", []),
    "no_stop_trim": (False,),
    "min_new_tokens": (0,),
    "max_new_tokens": (),
    "lora_path": (),
    "custom_logit_processor": (),
    "custom_params": (),
    "return_hidden_states": (False,),
    "session_params": (),
    "input_ids": (),
}

_LLAMA_CPP: dict[str, Harmless] = {
    "json_schema": (),
    "n_predict": (-1,),
    "n_keep": (0,),
    "n_probs": (0,),
    "n_indent": (0,),
    "min_keep": (0,),
    "samplers": (),
    "typical_p": (1,),
    "typ_p": (1,),
    "mirostat": (0,),
    "dynatemp_range": (0,),
    "top_n_sigma": (-1,),
    "adaptive_target": (),
    "dry_multiplier": (0,),
    "repeat_penalty": (1,),
    "repeat_last_n": (-1,),
    "penalize_nl": (False,),
    "lora": ([],),
    "thinking_forced_open": (False,),
    "t_max_predict_ms": (0, -1),
}

#: Of Ollama, text-generation-inference, LM Studio and mlx_lm.server.
_LOCAL: dict[str, Harmless] = {
    "options": ({},),
    "format": ("",),
    "think": (),
    "template": ("",),
    "raw": (False,),
    "watermark": (False,),
    "do_sample": (True,),
    "truncate": (),
    "tool_prompt": (),
    "guideline": (),
    "adapter_id": (),
    "adapters": (),
    "role_mapping": (),
    "repetition_context_size": (),
    "presence_context_size": (),
    "frequency_context_size": (),
    "num_beams": (1,),
    "penalty_alpha": (0,),
}

#: Of text-generation-webui, TabbyAPI, Aphrodite and KoboldCpp.
_SAMPLERS: dict[str, Harmless] = {
    "tfs": (1,),
    "tfs_z": (1,),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "smoothing_factor": (0,),
    "skew": (0,),
    "nsigma": (0,),
    "guidance_scale": (1,),
    "cfg_scale": (1,),
    "negative_prompt": ("",),
    "no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,),
    "banned_tokens": ([],),
    "custom_token_bans": ("",),
    "ban_eos_token": (False,),
    "token_healing": (False,),
    "dynamic_temperature": (False,),
    "mirostat_mode": (0,),
    "sampler_priority": (),
    "sampler_order": (),
    "grammar_string": ("",),
    "rep_pen": (1,),
    "max_length": (),
    "min_length": (0,),
    "stop_sequence": ([],),
    "sampling_seed": (),
    "num_return_sequences": (1,),
}

#: Fields of the body.
FIELDS: Mapping[str, Harmless] = {
    **_OPENAI,
    **_HOSTED,
    **_VLLM,
    **_SGLANG,
    **_LLAMA_CPP,
    **_LOCAL,
    **_SAMPLERS,
}

#: What a request can have instead.
_HINTS: Mapping[str, str] = dict.fromkeys(
    ("bad_words", "banned_tokens"),
    ", or give texts in banned_strings, which are banned whatever their tokens are",
)

#: Fields of a message.
MESSAGE_FIELDS: Mapping[str, Harmless] = {
    "function_call": (),
    "prefix": (False,),
    "partial": (False,),
    "audio": (),
    "images": ([],),
    "thinking": ("",),
    "reasoning_details": ([],),
}

#: Values with which a field is as if it were left out.
_EMPTY = frozenset({b"null", b"false", b"[]", b'""'})

#: A harmless value is short; a longer one, in bytes, is refused without decoding it.
_MAX_HARMLESS = 64


def refuse_unsupported(
    given: Mapping[str, msgspec.Raw], known: Mapping[str, Harmless], *, at: str = ""
) -> None:
    """Refuse fields that are not implemented.

    Args:
        given: Fields of the request, undecoded.
        known: The fields that are not implemented, with their harmless values.
        at: The path of the fields' object, followed by a dot.

    Raises:
        InvalidRequestError: A field has another value; `param` names it.
    """
    for name in known.keys() & given.keys():
        raw = bytes(given[name]).strip()
        if raw != b"null" and not _is_harmless(raw, known[name]):
            shown = raw[:60].decode(errors="replace")
            raise InvalidRequestError(
                f"{at}{name}={shown} is not supported by this server; leave it out"
                f"{_HINTS.get(name, '')}",
                param=f"{at}{name}",
            )


def refuse_renamed(given: Mapping[str, msgspec.Raw], names: Mapping[str, str]) -> None:
    """Refuse fields of other APIs that this one has under other names.

    Args:
        given: Fields of the request, undecoded.
        names: The name here for the name there.

    Raises:
        InvalidRequestError: A field is neither null, false nor empty; `param` names it.
    """
    for name in names.keys() & given.keys():
        if bytes(given[name]).strip() not in _EMPTY:
            raise InvalidRequestError(
                f"{name} is not a field of this request; use {names[name]}", param=name
            )


def _is_harmless(raw: bytes, harmless: Harmless) -> bool:
    if len(raw) > _MAX_HARMLESS:
        return False
    try:
        value = msgspec.json.decode(raw)
    except ValueError:  # text that is not UTF-8
        return False
    return any(_is_same(value, same) for same in harmless)


def _is_same(value: Any, other: Any) -> bool:
    """Compare values; True is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)
