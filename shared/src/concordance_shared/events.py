"""What the engine tells a mod: five events, as values.

Every event belongs to one request and speaks of one position of its completion, `step`, counted
from 0. After tokens were taken back, positions count on from where the completion then ends.
"""

from typing import Any, Protocol, Self

from msgspec import Struct

from concordance_shared.finish import FinishReason


class Logits(Protocol):
    """The scores of one position, still on the device: reading them is what costs.

    A row of float32, as long as the model's vocabulary. This package names no array library:
    the engine's row is an mlx array underneath, the test harness's a plain list.
    """

    def __len__(self) -> int:
        """The size of the vocabulary."""
        ...

    def __getitem__(self, token_id: int) -> float:
        """The score of one token."""
        ...

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """The `k` best `(token_id, score)` pairs, best first; only these leave the device."""
        ...

    def to_numpy(self) -> Any:
        """The whole row as a new numpy array.  (vocab,) float32."""
        ...


class Event(Struct, frozen=True, kw_only=True, tag=True):
    """Something that happened to one request."""

    request_id: str
    step: int


class ContextInfo(Struct, frozen=True, kw_only=True):
    """The prompt, as the model will read it."""

    tokens: tuple[int, ...]

    @property
    def prompt_len(self) -> int:
        """How many tokens the prompt has."""
        return len(self.tokens)


class Prefilled(Event, frozen=True, kw_only=True, tag=True):
    """The prompt is tokenized and not yet read by the model. Comes once, first."""

    max_steps: int  # the completion's budget in tokens
    context_info: ContextInfo


class ForwardPass(Event, frozen=True, kw_only=True, tag=True, eq=False):
    """The model has scored position `step`; nothing is sampled there yet."""

    logits: Any  # `Logits`: (vocab,) float32. Typed `Any` so that the struct can be decoded.

    def with_logits(self, logits: Logits) -> Self:
        """The same event over another row, for the next mod in order."""
        return type(self)(request_id=self.request_id, step=self.step, logits=logits)


class Sampled(Event, frozen=True, kw_only=True, tag=True):
    """A token was sampled for position `step` and is not yet part of the completion."""

    sampled_token: int


class Added(Event, frozen=True, kw_only=True, tag=True):
    """Tokens were appended to the completion; the first of them stands at `step`."""

    added_tokens: tuple[int, ...]
    forced: bool  # True when a mod put them there, False when they were sampled


class Finished(Event, frozen=True, kw_only=True, tag=True):
    """The request has ended, for whatever reason. Comes once, last; nothing can be changed."""

    finish_reason: FinishReason


EVENTS: tuple[type[Event], ...] = (Prefilled, ForwardPass, Sampled, Added, Finished)
