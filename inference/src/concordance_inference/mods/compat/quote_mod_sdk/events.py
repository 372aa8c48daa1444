"""Events as older mods know them: plain objects, made by position or by name, that can be changed.

`position` is the step of an event that the engine raised; one that a mod or a test made has none.
"""

from collections.abc import Iterable
from typing import Any, cast

import concordance_shared
import numpy as np

from concordance_inference.mods.compat.quote_mod_sdk.logits import Tensor, top_k_logprob
from concordance_inference.mods.compat.quote_mod_sdk.plain import Plain


class ModEvent(Plain):
    """What an event is. Each has `request_id` and `step`, a position in the completion."""

    #: Where the engine raised it, and where the completion ends there: not among its attributes
    #: that `vars` lists.
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
        """Set what the older engine could tell of the model's inside."""
        self.hidden_states = hidden_states
        self.attention_patterns = attention_patterns
        self.layer = layer
        self.input_ids = None if input_ids is None else list(input_ids)


class Prefilled(ModEvent):
    """The prompt is tokenized and not yet read by the model."""

    def __init__(  # as it was
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
        """Make one."""
        self.request_id = request_id
        self.step = step
        self.max_steps = max_steps
        self.context_info: Any = context_info or {}
        self._set_internals(hidden_states, attention_patterns, layer, input_ids)


class ForwardPass(ModEvent):
    """The model has scored a position; nothing is sampled there yet."""

    def __init__(  # as it was
        self,
        request_id: str,
        step: int,
        logits: Any,
        hidden_states: Any = None,
        attention_patterns: Any = None,
        layer: int | None = None,
        input_ids: Iterable[int] | None = None,
    ) -> None:
        """Make one."""
        self.request_id = request_id
        self.step = step
        self.logits: Any = logits  # a `Tensor`  (1, vocab) float32
        self._set_internals(hidden_states, attention_patterns, layer, input_ids)

    def top_k_logprob(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The `k` best log-probabilities and their token ids, best first.  both (1, k)"""
        return top_k_logprob(self.logits, k)


class Sampled(ModEvent):
    """A token was sampled and is not yet part of the completion."""

    def __init__(self, request_id: str, step: int, sampled_token: int) -> None:
        """Make one."""
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
        forced: bool,  # noqa: FBT001  # as it was
    ) -> None:
        """Make one."""
        self.request_id = request_id
        self.step = step
        self.added_tokens = list(added_tokens)
        self.forced = forced


class TokenIds(list[int]):
    """Token ids: a list that answers as an array of numpy does where mods ask it to."""

    def __getitem__(self, key: Any) -> Any:
        """A token id, or those of a slice."""
        found: Any = super().__getitem__(key)
        return TokenIds(found) if isinstance(key, slice) else found

    @property
    def shape(self) -> tuple[int]:
        """How many they are."""
        return (len(self),)

    def tolist(self) -> list[int]:
        """A plain list of them."""
        return list(self)


class ContextInfo(Plain):
    """The prompt: its token ids, and how many they are."""

    def __init__(self, tokens: Iterable[int], max_tokens: int) -> None:
        """Make one."""
        self.tokens = TokenIds(tokens)
        self.max_tokens = max_tokens
        self.prompt_len = self._prompt_len = len(self.tokens)


def older_event(event: concordance_shared.Event) -> ModEvent:
    """An event of the engine's as a mod of the older SDK is given it."""
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
            raise TypeError(f"older mods know no {type(event).__name__}")


def position_of(event: ModEvent) -> int | None:
    """The step at which the engine raised an event; `None` for one that it did not raise."""
    return getattr(event, "engine_step", None)


def end_of(event: ModEvent) -> int | None:
    """How many tokens the completion has at an event that the engine raised."""
    return getattr(event, "engine_end", None)


def kind_of(event: object) -> type[concordance_shared.Event]:
    """Which of the events an older one is.

    Raises:
        TypeError: It is none.
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
