"""Builds strategies from dictionaries: `{"type": "choices", "choices": [...]}`."""

from collections.abc import Mapping
from typing import Any

from concordance_inference.mods.compat.quote_mod_sdk.strategies.base import tokenize_str
from concordance_inference.mods.compat.quote_mod_sdk.strategies.primitives import (
    CharsMode,
    TokensStrategy,
    UntilEndType,
)
from concordance_inference.mods.compat.quote_mod_sdk.strategies.strategy_constructor import (
    CharsStrat,
    ChoicesStrat,
    ListStrat,
    UntilStrat,
)


def compile_strategy(spec: Mapping[str, Any], tokenizer: Any) -> Any:
    """Build the strategy that a dictionary describes.

    Raises:
        ValueError: The description is invalid.
    """
    if str(spec.get("type", "")).lower() == "tokens":
        return _compile_tokens_strategy(spec, tokenizer)
    return _constructor(spec).into_strategy(tokenizer)


def _constructor(spec: Mapping[str, Any]) -> Any:
    match str(spec.get("type", "")).lower():
        case "choices":
            return ChoicesStrat(list(spec.get("choices") or ()))
        case "until":
            return UntilStrat("", UntilEndType.ANYCHAR, str(spec.get("char") or "\n"))
        case "chars":
            most = spec.get("max") or spec.get("stop") or "\n"
            kind = CharsMode[str(spec.get("kind", "string")).upper()]
            return CharsStrat(kind, most, min=spec.get("min"))
        case "list":
            names = ("open", "close", "wrap", "sep", "end_with", "min", "max")
            given = {name: spec[name] for name in names if name in spec}
            return ListStrat(_constructor(spec["element"]), **given)
        case other:
            raise ValueError(
                f"the type of a strategy is {other!r}; it must be choices, until, chars, tokens or "
                "list"
            )


def _compile_tokens_strategy(spec: Mapping[str, Any], tokenizer: Any) -> TokensStrategy:
    items = list(spec.get("items") or ())
    if not items:
        raise ValueError("tokens.items must be a non-empty list of strings")
    ids = {text: tokenize_str(text, tokenizer) for text in items}
    if long := [text for text, token_ids in ids.items() if len(token_ids) != 1]:
        raise ValueError(f"tokens.items entry {long[0]!r} must map to exactly one token")
    return TokensStrategy(token_ids[0] for token_ids in ids.values())
