"""Finds the context length of a model: in its config, in its families' defaults, in its weights.

A table of learned positions is the hard bound: positions behind its rows do not exist. Everything
else is the length that the model was trained for, and can be set to another.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from concordance_shared import ModelLoadError
from mlx import nn

logger = logging.getLogger(__name__)

#: Used where nothing tells.
GUESS = 4096

#: Used for models that have no limit: nothing that they keep of a text grows with it.
UNLIMITED = 1 << 20

#: Overrides the keys below where a config has it: Command-R says 8192 there and means 131072.
_FIRST_KEY = "model_max_length"

#: What families call it; where a config has several, the least holds.
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

#: Names of tables of learned positions in mlx-lm's models.
_TABLES = {"wpe", "embed_positions", "position_embeddings", "pos_emb", "pos_embed"}

#: Types of scaling by which a model reaches `factor` times as far as its config says.
_EXTENDING = {"linear", "dynamic", "ntk"}
_YARN = {"yarn", "deepseek_yarn", "telechat3-yarn"}

#: A larger factor is no factor: a damaged file.
_MAX_FACTOR = 1e6


def context_length(
    model: Any, config: Mapping[str, Any], tokenizer: Any = None, *, chosen: int | None = None
) -> int:
    """Number of positions that a prompt and its completion may take together.

    Args:
        model: One of mlx-lm's.
        config: Its config.json.
        tokenizer: Its tokenizer, whose configuration is asked last.
        chosen: The user's choice.

    Raises:
        ModelLoadError: The config has something else than a number of positions, or more are
            chosen than the model has learned.
    """
    text = _text_config(config)
    rows = _learned_positions(model)
    found = _found(model, text, tokenizer)
    if chosen is None:
        return min(found, rows or found)
    if rows and chosen > rows:
        raise ModelLoadError(
            f"a context length of {chosen} is chosen; the model has learned {rows} positions and "
            "has none behind them"
        )
    if chosen > found:
        logger.warning(
            "a context length of %d is chosen; the model says it was made for %d", chosen, found
        )
    return chosen


def _found(model: Any, text: Mapping[str, Any], tokenizer: Any) -> int:
    """The length by the first source that has one."""
    known = _configured(text)
    if known is not None:
        return _extended(known, text, model)
    known = _family_default(text) or _args_default(model)
    if known is not None:
        return known
    if not _grows(model):
        logger.info("the model has no limit; its context length is set to %d", UNLIMITED)
        return UNLIMITED
    known = getattr(tokenizer, "model_max_length", None)
    if isinstance(known, int) and 0 < known <= UNLIMITED:
        return known
    logger.warning(
        "neither the model's config nor its tokenizer says how long a context may be: %d is a "
        "guess; --context-length sets another",
        GUESS,
    )
    return GUESS


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a configuration that speaks of the language model."""
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
    """A number of positions; `None` for null."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 1e12:
        raise ModelLoadError(f"config.json: {key} is {value!r}; a number of positions is needed")
    return int(value)


def _extended(length: int, text: Mapping[str, Any], model: Any) -> int:
    """The length that the scaling of the rotary embedding reaches.

    `llama3` and `longrope` are left out, since their configs have the length that is reached, as
    Gemma 3's do. A scaling that mlx-lm's model does not apply reaches nothing.
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
    """The scaling of layers that attend to all positions."""
    scaling = text.get("rope_scaling") or text.get("rope_parameters")
    if not isinstance(scaling, Mapping):
        return {}
    full = scaling.get("full_attention")
    return full if isinstance(full, Mapping) else scaling


def _family(text: Mapping[str, Any]) -> str:
    return str(text.get("model_type"))


def _scales(model: Any) -> bool:
    """Whether a layer of the model has a rotary embedding that is scaled."""
    return any(
        "yarn" in type(module).__name__.lower()
        or "dynamic" in type(module).__name__.lower()
        or (isinstance(module, nn.RoPE) and module.scale != 1)
        for _, module in _modules(model)
    )


def _learned_positions(model: Any) -> int | None:
    """Rows of the model's table of learned positions."""
    rows = [
        int(module.weight.shape[0])
        for name, module in _modules(model)
        if name.rpartition(".")[2] in _TABLES and hasattr(module, "weight")
    ]
    return min(rows, default=None)


def _modules(model: Any) -> Iterator[tuple[str, Any]]:
    return iter(model.named_modules())


def _family_default(text: Mapping[str, Any]) -> int | None:
    """What transformers takes where a config of the family leaves it out, as config files do."""
    from transformers import CONFIG_MAPPING  # noqa: PLC0415  # slow, and needed for few models

    try:
        default: Any = CONFIG_MAPPING[_family(text)]()
    except Exception:  # not known, or not to be made without arguments: either way no default
        return None
    inner = getattr(default, "text_config", None) or default
    return _first_of(inner)


def _args_default(model: Any) -> int | None:
    """What mlx-lm takes where a config leaves it out."""
    for part in (getattr(model, "language_model", None), model):
        known = _first_of(getattr(part, "args", None))
        if known is not None:
            return known
    return None


def _first_of(holder: Any) -> int | None:
    values = [getattr(holder, key, None) for key in _KEYS]
    return next((value for value in values if isinstance(value, int) and value > 0), None)


def _grows(model: Any) -> bool:
    """Whether the model keeps something of every position, rather than states or windows."""
    from mlx_lm.models.cache import (  # noqa: PLC0415
        ArraysCache,
        RotatingKVCache,
        make_prompt_cache,
    )

    return not all(
        isinstance(cache, ArraysCache | RotatingKVCache) for cache in make_prompt_cache(model)
    )
