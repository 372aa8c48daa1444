"""The older SDK's action builder: made for one event, it refuses at once what is not allowed.

It takes the newer keywords too, since self-prompts and flows are given it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import concordance_shared
from concordance_sdk import Actions
from concordance_shared import (
    LEGAL_ACTIONS,
    Action,
    AdjustedPrefill,
    Backtrack,
    Event,
    ForceOutput,
    ForceTokens,
    Noop,
    ToolCall,
    ToolCalls,
    legal_names,
)

from concordance_inference.mods.older_sdk.logits import OlderLogits, top_k_logprob


class InvalidActionError(concordance_shared.InvalidActionError, ValueError):
    """An action is not permitted at an event. A `ValueError`, as it used to be."""


class AdjustedLogits(Action, frozen=True, tag="AdjustedLogits", eq=False):
    """A changed distribution, built by position: `AdjustedLogits(logits, token_temp)`."""

    logits: Any = None
    token_temp: float | None = None
    bias: Mapping[int, float] | None = None
    allow: Sequence[int] | None = None
    ban: Sequence[int] | None = None
    mask: Any = None

    def top_k_logprob(self, k: int) -> Any:
        """The `k` best log-probabilities and their token ids, best first.  both (1, k)"""
        return top_k_logprob(self.logits, k)


def modern(action: object) -> object:
    """An action of the older SDK as one of ours; anything else as it is."""
    if not isinstance(action, AdjustedLogits):
        return action
    # A row that was handed back as it came changes nothing.
    logits = None if isinstance(action.logits, OlderLogits) else action.logits
    return concordance_shared.AdjustedLogits(
        logits=logits,
        token_temp=action.token_temp,
        bias=action.bias,
        allow=action.allow,
        ban=action.ban,
        mask=action.mask,
    )


class ActionBuilder(Actions):
    """Builds the actions that are allowed at one event."""

    def __init__(self, event: Event) -> None:
        """Build for an event."""
        self._event = event

    def adjust_prefill(  # type: ignore[override]  # older mods leave out `max_steps` by `None`
        self, tokens: Iterable[int], max_steps: int | None = None
    ) -> AdjustedPrefill:
        """Replace the prompt; `max_steps` also caps the completion."""
        self._require(AdjustedPrefill)
        return AdjustedPrefill(_plain(tokens), max_steps or 0)

    def adjust_logits(  # type: ignore[override]  # an action that can be read as it used to be
        self, logits: Any = None, token_temp: float | None = None, **newer: Any
    ) -> AdjustedLogits:
        """Change the distribution of this position; without `logits`, only its temperature."""
        self._require(concordance_shared.AdjustedLogits)
        return AdjustedLogits(logits, token_temp, **newer)

    def force_tokens(self, tokens: Iterable[int]) -> ForceTokens:  # type: ignore[override]
        """Put these tokens here without sampling them."""
        self._require(ForceTokens)
        return ForceTokens(_plain(tokens))

    def backtrack(  # type: ignore[override]  # older mods say `steps`
        self, n: int | None = None, tokens: Iterable[int] | None = None, *, steps: int | None = None
    ) -> Backtrack:
        """Take back the last `n` tokens (older: `steps`), then put `tokens` there, if any."""
        self._require(Backtrack)
        count = steps if n is None else n
        if count is None:
            raise TypeError("backtrack() takes how many tokens to take back")
        return Backtrack(int(count), None if tokens is None else _plain(tokens))

    def force_output(self, tokens: Iterable[int]) -> ForceOutput:  # type: ignore[override]
        """Make exactly these tokens the completion, and end it."""
        self._require(ForceOutput)
        return ForceOutput(_plain(tokens))

    def tool_calls(
        self,
        tool_calls: ToolCall | Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        payload: Any = None,
    ) -> ToolCalls:
        """End the completion as calls of tools (older: `payload`)."""
        self._require(ToolCalls)
        return ToolCalls(cast(Any, payload if tool_calls is None else tool_calls))

    def _require(self, action_type: type[Action]) -> None:
        event_type = _base(self._event)
        if action_type not in LEGAL_ACTIONS[event_type]:
            name = event_type.__name__
            raise InvalidActionError(
                f"{action_type.__name__} is not permitted at {name} (step {self._event.step}); "
                f"allowed at {name}: {legal_names(event_type)}"
            )


def for_event(event: Event) -> ActionBuilder:
    """An action builder for an event."""
    return ActionBuilder(event)


def validate_action(event: Event, action: object) -> object:
    """The action, checked to be allowed at the event; `Noop` for `None`.

    Raises:
        InvalidActionError: It is not allowed there.
    """
    if action is None:
        return Noop()
    if type(modern(action)) not in LEGAL_ACTIONS[_base(event)]:
        raise InvalidActionError(
            f"{type(action).__name__} is not permitted at {type(event).__name__}"
        )
    return action


def _base(event: Event) -> type[Event]:
    """Which of the events it is."""
    return next(event_type for event_type in LEGAL_ACTIONS if isinstance(event, event_type))


def _plain(tokens: object) -> Any:
    """Token ids as a list where any iterable was taken; text as it is, to be refused as such."""
    return tokens if isinstance(tokens, str) else list(cast(Iterable[int], tokens))
