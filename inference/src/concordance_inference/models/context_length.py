"""Determines a model's context length from its config, its family's defaults and its weights.

A table of learned position embeddings is a hard limit. Every other source is the length that the
model was trained for, which the user can override.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from concordance_shared import ModelLoadError
from mlx import nn

logger = logging.getLogger(__name__)

#: Used if no source gives a length.
GUESS = 4096

#: Used for models without a limit: their caches do not grow with the text.
UNLIMITED = 1 << 20

#: Takes precedence over `_KEYS`: Command-R has 8192 under those and 131072 here.
_FIRST_KEY = "model_max_length"

#: The families' names for it; the smallest of those that a config has is used.
_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "max_sequence_length",
    "max_seq_length",
    "max_context_length",
    "n_ctx",
)

#: Names of learned position embeddings in mlx-lm's models.
_TABLES = {"wpe", "embed_positions", "position_embeddings", "pos_emb", "pos_embed"}

#: RoPE scaling types that multiply the configured length by `factor`.
_EXTENDING = {"linear", "dynamic", "ntk"}
_YARN = {"yarn", "deepseek_yarn", "telechat3-yarn"}

#: Larger factors come from damaged files.
_MAX_FACTOR = 1e6


def context_length(
    model: Any, config: Mapping[str, Any], tokenizer: Any = None, *, chosen: int | None = None
) -> int:
    """Return the maximum length of a prompt and its completion together, in tokens.

    Args:
        model: An mlx-lm model.
        config: Its config.json.
        tokenizer: Its tokenizer, the last source consulted.
        chosen: The user's override.

    Raises:
        ModelLoadError: The config's value is not a number of positions, or `chosen` exceeds the
            model's learned position embeddings.
    """
    text = _text_config(config)
    rows = _learned_positions(model)
    found = _found(model, text, tokenizer)
    if chosen is None:
        return min(found, rows or found)
    if rows and chosen > rows:
        raise ModelLoadError(
            f"the context length {chosen} exceeds the model's {rows} learned position embeddings"
        )
    if chosen > found:
        logger.warning(
            "the context length %d exceeds the %d that the model was made for", chosen, found
        )
    return chosen


def _found(model: Any, text: Mapping[str, Any], tokenizer: Any) -> int:
    """Return the length of the first source that has one."""
    known = _configured(text)
    if known is not None:
        return _extended(known, text, model)
    known = _family_default(text) or _args_default(model)
    if known is not None:
        return known
    if not _grows(model):
        logger.info("the model has no length limit; its context length is set to %d", UNLIMITED)
        return UNLIMITED
    known = getattr(tokenizer, "model_max_length", None)
    if isinstance(known, int) and 0 < known <= UNLIMITED:
        return known
    logger.warning(
        "neither the model's config nor its tokenizer has a context length; using %d. Set it with "
        "--context-length",
        GUESS,
    )
    return GUESS


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration of the language model, without nesting."""
    inner = config.get("text_config")
    if not isinstance(inner, Mapping):
        return config
    return {**config, **{key: value for key, value in inner.items() if value is not None}}


def _configured(text: Mapping[str, Any]) -> int | None:
    first = _positions(_FIRST_KEY, text.get(_FIRST_KEY))
    if first is not None:
        return first
    lengths = [_positions(key, text.get(key)) for key in _KEYS]
    return min((length for length in lengths if length is not None), default=None)


def _positions(key: str, value: Any) -> int | None:
    """Validate a number of positions; `None` for null."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 1e12:
        raise ModelLoadError(f"config.json: {key} is {value!r}; it must be a number of positions")
    return int(value)


def _extended(length: int, text: Mapping[str, Any], model: Any) -> int:
    """Return the length after RoPE scaling.

    Configs with `llama3` or `longrope` scaling, and those of Gemma 3, already have the scaled
    length. A scaling that mlx-lm's model does not apply is ignored.
    """
    scaling = _rope_scaling(text)
    kind, factor = scaling.get("rope_type") or scaling.get("type"), scaling.get("factor")
    if not isinstance(factor, int | float) or "gemma3" in _family(text):
        return length
    if not 1 < factor <= _MAX_FACTOR:
        return length
    reached = length
    if kind in _YARN:
        original = scaling.get("original_max_position_embeddings")
        reached = int((original if isinstance(original, int | float) else length) * factor)
    elif kind in _EXTENDING:
        reached = int(length * factor)
    if reached <= length:
        return length
    if not _scales(model):
        logger.warning("mlx-lm does not apply this model's rope_scaling (%s)", kind)
        return length
    return reached


def _rope_scaling(text: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the RoPE scaling of the full-attention layers."""
    scaling = text.get("rope_scaling") or text.get("rope_parameters")
    if not isinstance(scaling, Mapping):
        return {}
    full = scaling.get("full_attention")
    return full if isinstance(full, Mapping) else scaling


def _family(text: Mapping[str, Any]) -> str:
    return str(text.get("model_type"))


def _scales(model: Any) -> bool:
    """True if a layer of the model applies RoPE scaling."""
    return any(
        "yarn" in type(module).__name__.lower()
        or "dynamic" in type(module).__name__.lower()
        or (isinstance(module, nn.RoPE) and module.scale != 1)
        for _, module in _modules(model)
    )


def _learned_positions(model: Any) -> int | None:
    """Return the number of learned position embeddings, if the model has such a table."""
    rows = [
        int(module.weight.shape[0])
        for name, module in _modules(model)
        if name.rpartition(".")[2] in _TABLES and hasattr(module, "weight")
    ]
    return min(rows, default=None)


def _modules(model: Any) -> Iterator[tuple[str, Any]]:
    return iter(model.named_modules())


def _family_default(text: Mapping[str, Any]) -> int | None:
    """Return the default of `transformers` for the model's family; config files often omit it."""
    from transformers import CONFIG_MAPPING  # noqa: PLC0415  # slow to import, rarely needed

    try:
        default: Any = CONFIG_MAPPING[_family(text)]()
    except Exception:  # unknown family, or a config class with required arguments
        return None
    inner = getattr(default, "text_config", None) or default
    return _first_of(inner)


def _args_default(model: Any) -> int | None:
    """Return the default of mlx-lm's model arguments."""
    for part in (getattr(model, "language_model", None), model):
        known = _first_of(getattr(part, "args", None))
        if known is not None:
            return known
    return None


def _first_of(holder: Any) -> int | None:
    values = [getattr(holder, key, None) for key in _KEYS]
    return next((value for value in values if isinstance(value, int) and value > 0), None)


def _grows(model: Any) -> bool:
    """True if a cache of the model grows with the text, unlike recurrent states and windows."""
    from mlx_lm.models.cache import (  # noqa: PLC0415
        ArraysCache,
        RotatingKVCache,
        make_prompt_cache,
    )

    return not all(
        isinstance(cache, ArraysCache | RotatingKVCache) for cache in make_prompt_cache(model)
    )
