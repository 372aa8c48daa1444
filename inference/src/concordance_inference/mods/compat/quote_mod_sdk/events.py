"""The events of `quote_mod_sdk`: mutable objects with positional or named arguments."""

from collections.abc import Iterable
from typing import Any, cast

import concordance_shared
import numpy as np

from concordance_inference.mods.compat.quote_mod_sdk.attribute_repr import AttributeRepr
from concordance_inference.mods.compat.quote_mod_sdk.logits import Tensor, top_k_logprob


class ModEvent(AttributeRepr):
    """The base class of events, with `request_id` and `step`, a position in the completion."""

    #: The engine's step, and the length of the completion after the event; unset for events that a
    #: mod or a test creates. Slots, so that `vars` does not list them.
    __slots__ = ("engine_end", "engine_step")

    request_id: str
    step: int

    def _set_internals(
        self,
        hidden_states: Any,
        attention_patterns: Any,
        layer: int | None,
        input_ids: Iterable[int] | None,
    ) -> None:
        """Set the model's internals, which the older engine could provide."""
        self.hidden_states = hidden_states
        self.attention_patterns = attention_patterns
        self.layer = layer
        self.input_ids = None if input_ids is None else list(input_ids)


class Prefilled(ModEvent):
    """The prompt is tokenized, before prefill."""

    def __init__(
        self,
        request_id: str,
        step: int,
        max_steps: int,
        context_info: Any = None,
        hidden_states: Any = None,
        attention_patterns: Any = None,
        layer: int | None = None,
        input_ids: Iterable[int] | None = None,
    ) -> None:
        """Create the event."""
        self.request_id = request_id
        self.step = step
        self.max_steps = max_steps
        self.context_info: Any = context_info or {}
        self._set_internals(hidden_states, attention_patterns, layer, input_ids)


class ForwardPass(ModEvent):
    """The logits of a position are computed, before sampling."""

    def __init__(
        self,
        request_id: str,
        step: int,
        logits: Any,
        hidden_states: Any = None,
        attention_patterns: Any = None,
        layer: int | None = None,
        input_ids: Iterable[int] | None = None,
    ) -> None:
        """Create the event."""
        self.request_id = request_id
        self.step = step
        self.logits: Any = logits  # a `Tensor`  (1, vocab) float32
        self._set_internals(hidden_states, attention_patterns, layer, input_ids)

    def top_k_logprob(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the top `k` logprobs and their token ids, in descending order.  both (1, k)"""
        return top_k_logprob(self.logits, k)


class Sampled(ModEvent):
    """A token was sampled and is not yet part of the completion."""

    def __init__(self, request_id: str, step: int, sampled_token: int) -> None:
        """Create the event."""
        self.request_id = request_id
        self.step = step
        self.sampled_token = sampled_token


class Added(ModEvent):
    """Tokens were appended to the completion."""

    def __init__(
        self,
        request_id: str,
        step: int,
        added_tokens: Iterable[int],
        forced: bool,  # noqa: FBT001  # the signature of `quote_mod_sdk`
    ) -> None:
        """Create the event."""
        self.request_id = request_id
        self.step = step
        self.added_tokens = list(added_tokens)
        self.forced = forced


class TokenIds(list[int]):
    """A list of token ids with the numpy attributes that mods use."""

    def __getitem__(self, key: Any) -> Any:
        """Return a token id, or the `TokenIds` of a slice."""
        found: Any = super().__getitem__(key)
        return TokenIds(found) if isinstance(key, slice) else found

    @property
    def shape(self) -> tuple[int]:
        """The length, as numpy has it."""
        return (len(self),)

    def tolist(self) -> list[int]:
        """Return a plain list."""
        return list(self)


class ContextInfo(AttributeRepr):
    """The prompt: its token ids and its length."""

    def __init__(self, tokens: Iterable[int], max_tokens: int) -> None:
        """Create the prompt's description."""
        self.tokens = TokenIds(tokens)
        self.max_tokens = max_tokens
        self.prompt_len = self._prompt_len = len(self.tokens)


def older_event(event: concordance_shared.Event) -> ModEvent:
    """Convert an event of the engine."""
    made = _older(event)
    end = event.step + (len(made.added_tokens) if isinstance(made, Added) else 0)
    made.engine_step, made.engine_end = event.step, end
    return made


def _older(event: concordance_shared.Event) -> ModEvent:
    match event:
        case concordance_shared.Prefilled():
            tokens = list(event.context_info.tokens)
            info = ContextInfo(tokens, event.max_steps)
            return Prefilled(event.request_id, event.step, event.max_steps, info, input_ids=tokens)
        case concordance_shared.ForwardPass():
            return ForwardPass(event.request_id, event.step, Tensor.of_engine(event.logits))
        case concordance_shared.Sampled():
            return Sampled(event.request_id, event.step, event.sampled_token)
        case concordance_shared.Added():
            return Added(event.request_id, event.step, event.added_tokens, event.forced)
        case _:
            raise TypeError(f"quote_mod_sdk has no event {type(event).__name__}")


def position_of(event: ModEvent) -> int | None:
    """Return the step at which the engine raised an event; `None` for events created by hand."""
    return getattr(event, "engine_step", None)


def end_of(event: ModEvent) -> int | None:
    """Return the length of the completion after an event; `None` for events created by hand."""
    return getattr(event, "engine_end", None)


def kind_of(event: object) -> type[concordance_shared.Event]:
    """Return the engine's class for an event.

    Raises:
        TypeError: The object is not an event.
    """
    for base in type(event).__mro__:
        if base in _KINDS:
            return _KINDS[base]
    raise TypeError(f"Unsupported event type {type(event).__name__}")


_KINDS = cast(
    dict[type, type[concordance_shared.Event]],
    {
        Prefilled: concordance_shared.Prefilled,
        ForwardPass: concordance_shared.ForwardPass,
        Sampled: concordance_shared.Sampled,
        Added: concordance_shared.Added,
    },
)
