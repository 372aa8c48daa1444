"""The action builder of `quote_mod_sdk`, and the conversion of its actions to the engine's.

A builder belongs to one event and rejects an action immediately if it is not legal there. It also
accepts the keywords of `concordance_sdk`, since a mod that is being ported uses both for a while.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import concordance_shared
import numpy as np
from concordance_shared import LEGAL_ACTIONS, Action, legal_names

from concordance_inference.mods.compat.quote_mod_sdk import action_types
from concordance_inference.mods.compat.quote_mod_sdk.action_types import (
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    ModAction,
    Noop,
    ToolCalls,
    token_list,
)
from concordance_inference.mods.compat.quote_mod_sdk.events import ModEvent, end_of, kind_of
from concordance_inference.mods.compat.quote_mod_sdk.logits import (
    MaskedTensor,
    Tensor,
    masked_array,
)


class InvalidActionError(concordance_shared.InvalidActionError, ValueError):
    """An action is not legal at an event. A `ValueError`, as in `quote_mod_sdk`."""


class ActionBuilder:
    """Builds the actions that are legal at one event."""

    def __init__(self, event: ModEvent) -> None:
        """Build for an event."""
        self._event = event

    def noop(self) -> ModAction:
        """Change nothing."""
        return Noop()

    def adjust_prefill(self, tokens: Iterable[int], max_steps: int | None = None) -> ModAction:
        """Replace the prompt; `max_steps` also caps the completion."""
        self._require(AdjustedPrefill)
        return AdjustedPrefill(_integers(tokens), int(max_steps or 0))

    def adjust_logits(
        self, logits: Any = None, token_temp: float | None = None, **newer: Any
    ) -> ModAction:
        """Replace the logits of this position; without `logits`, only its temperature.

        Raises:
            InvalidActionError: It is not legal at this event, or there are no logits.
        """
        self._require(AdjustedLogits)
        logits = getattr(self._event, "logits", None) if logits is None else logits
        if logits is None:
            raise InvalidActionError("adjust_logits requires logits when event has none")
        action = AdjustedLogits(logits, token_temp)
        vars(action).update(newer)  # `bias`, `allow`, `ban`
        return action

    def force_tokens(self, tokens: Iterable[int]) -> ModAction:
        """Append tokens without sampling them."""
        self._require(ForceTokens)
        return ForceTokens(_integers(tokens))

    def backtrack(
        self, n: int | None = None, tokens: Iterable[int] | None = None, *, steps: int | None = None
    ) -> ModAction:
        """Remove the last `n` tokens (older: `steps`), then append `tokens`, if any."""
        self._require(Backtrack)
        count = steps if n is None else n
        if count is None:
            raise TypeError("backtrack() requires `n`, the number of tokens to remove")
        return Backtrack(int(count), None if tokens is None else _integers(tokens))

    def force_output(self, tokens: Iterable[int]) -> ModAction:
        """Replace the completion by these tokens, and end it."""
        self._require(ForceOutput)
        return ForceOutput(_integers(tokens))

    def tool_calls(self, tool_calls: Any = None, *, payload: Any = None) -> ModAction:
        """End the completion with tool calls (older: `payload`)."""
        self._require(ToolCalls)
        return ToolCalls(payload if tool_calls is None else tool_calls)

    def emit_error(self, err_str: str) -> ModAction:
        """End the request with an error for the client."""
        return EmitError(err_str)

    def masked(self, mask: bytes, *, mask_value: float, token_temp: float | None) -> ModAction:
        """Restrict sampling to some tokens.

        Args:
            mask: The allowed tokens: bit `i % 8` of byte `i // 8`.
            mask_value: The logit of all other tokens.
            token_temp: The temperature of this position.
        """
        logits: Any = self._event.logits  # type: ignore[attr-defined]  # of a ForwardPass
        if isinstance(logits, Tensor) and logits.is_untouched and mask_value <= _AS_GOOD_AS_BANNED:
            return AdjustedLogits(MaskedTensor(logits, mask, mask_value), token_temp)
        row = masked_array(np.array(logits.to_numpy(), copy=True), mask, mask_value)
        return AdjustedLogits(type(logits).from_numpy(row), token_temp)

    def _require(self, action_type: type[ModAction]) -> None:
        kind = kind_of(self._event)
        if _MODERN[action_type] not in LEGAL_ACTIONS[kind]:
            raise InvalidActionError(
                f"{action_type.__name__} is not permitted at {kind.__name__} "
                f"(step {self._event.step}); allowed at {kind.__name__}: {legal_names(kind)}"
            )


#: A mask with this logit or less for other tokens is equivalent to banning them.
_AS_GOOD_AS_BANNED = -1e6

for_event = ActionBuilder


def validate_action(event: ModEvent, action: Any) -> Any:
    """Return an action if it is legal at the event; `None` becomes `Noop`.

    Raises:
        InvalidActionError: It is not legal there.
    """
    if action is None:
        return Noop()
    try:
        kind = kind_of(event)
    except TypeError as exc:
        raise InvalidActionError(str(exc)) from exc
    modern_type = type(action) if isinstance(action, Action) else _modern_type(action)
    if modern_type not in LEGAL_ACTIONS[kind]:
        raise InvalidActionError(
            f"Action {type(action).__name__} not permitted for event {kind.__name__}; "
            f"allowed: {legal_names(kind)}"
        )
    return action


def modern(action: Any, event: ModEvent) -> Any:
    """Convert an action of `quote_mod_sdk` to the engine's; return anything else unchanged."""
    older_type = _older_type(action)
    return action if older_type is None else _TO_MODERN[older_type](action, event)


def _older_type(action: object) -> type[ModAction] | None:
    return next((base for base in type(action).__mro__ if base in _MODERN), None)


def _modern_type(action: object) -> type[Action] | None:
    older_type = _older_type(action)
    return None if older_type is None else _MODERN[older_type]


def _integers(tokens: Iterable[int]) -> Any:
    """Return token ids as integers; a string is left unchanged, so that it is rejected as one."""
    return tokens if isinstance(tokens, str) else [int(token) for token in tokens]


# To the engine


def _backtrack(action: Any, event: ModEvent) -> Action:
    """Limit `n` to the length of the completion: `quote_mod_sdk` accepted any `n`."""
    there = end_of(event)
    n = action.n if there is None else min(action.n, there)
    return concordance_shared.Backtrack(n, action.tokens)


def _adjusted_logits(action: Any, event: ModEvent) -> Action:
    logits: Any = action.logits
    options: dict[str, Any] = {}
    if isinstance(logits, MaskedTensor):
        logits, options = None, {"mask": logits.mask}
    elif isinstance(logits, Tensor):
        # A row that the mod returns without reading it is unchanged, and stays on the device.
        logits = None if logits.is_untouched else logits.to_numpy()
    options |= {name: getattr(action, name, None) for name in ("bias", "allow", "ban")}
    del event
    if all(value is None for value in (logits, action.token_temp, *options.values())):
        return concordance_shared.Noop()
    return concordance_shared.AdjustedLogits(logits=logits, token_temp=action.token_temp, **options)


def tool_calls_of(payload: Any) -> Any:
    """Return the call, or the list of calls, in a payload of tool calls.

    Raises:
        InvalidActionError: The payload is a string that is not JSON.
    """
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except ValueError as exc:
            raise InvalidActionError(
                f"the payload of ToolCalls is not valid JSON ({exc}): {payload!r:.80}; pass a "
                "call, {'name': ..., 'arguments': {...}}, or a list of them"
            ) from exc
    if not isinstance(payload, Mapping):
        return payload
    given = cast(Mapping[str, Any], payload)
    for name in ("tool_calls", "tool_call", "function_call"):
        if isinstance(given.get(name), Mapping | Sequence):
            return given[name]
    return given


def _fields(modern_type: Callable[..., Action], *names: str) -> Callable[[Any, ModEvent], Action]:
    """Return a converter that passes attributes as positional arguments."""

    def convert(action: Any, event: ModEvent) -> Action:
        del event
        return modern_type(*(getattr(action, name) for name in names))

    return convert


_MODERN: dict[type, type[Action]] = {
    getattr(action_types, each.__name__): each
    for each in concordance_shared.ACTIONS
    if hasattr(action_types, each.__name__)  # the older SDK has no newer actions
}
_TO_MODERN: dict[type, Callable[[Any, ModEvent], Action]] = {
    Noop: _fields(concordance_shared.Noop),
    AdjustedPrefill: _fields(concordance_shared.AdjustedPrefill, "tokens", "max_steps"),
    ForceTokens: _fields(concordance_shared.ForceTokens, "tokens"),
    ForceOutput: _fields(concordance_shared.ForceOutput, "tokens"),
    EmitError: _fields(concordance_shared.EmitError, "err_str"),
    ToolCalls: lambda action, _: concordance_shared.ToolCalls(tool_calls_of(action.tool_calls)),
    AdjustedLogits: _adjusted_logits,
    Backtrack: _backtrack,
}


__all__ = [
    "ActionBuilder",
    "InvalidActionError",
    "for_event",
    "modern",
    "token_list",
    "tool_calls_of",
    "validate_action",
]
