"""What the engine tells a mod: five events, as values.

Every event belongs to one request and speaks of one position of its completion, `step`, counted
from 0. After tokens were taken back, positions count on from where the completion then ends.
"""

from typing import Any, Protocol, Self, cast

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

    def __getitem__(self, key: Any) -> Any:
        """The score of one token, `logits[token_id]`; or those of a slice, as a numpy array.

        `logits[0, token_id]` reads the same, for code that knows logits as a batch of one row.
        """
        ...

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """The `k` best `(token_id, score)` pairs, best first; only these leave the device."""
        ...

    def entropy(self) -> float:
        """How undecided the model is, in nats: 0 for one sure token, log(vocab) for none.

        Computed where the row is; only the number leaves the device. Tokens that cannot be
        sampled have no part in it.
        """
        ...

    def margin(self, k: int = 2) -> float:
        """How far the best score is ahead of the `k`-th best, in nats, `k` at least 1.

        The probability of the best token is `exp(margin)` times that of the `k`-th best. Infinite
        where fewer than `k` tokens can be sampled. Only the number leaves the device.
        """
        ...

    def to_numpy(self) -> Any:
        """The whole row as a new numpy array.  (vocab,) float32."""
        ...


def column(key: object) -> int | slice:
    """Which columns of a row of logits an index means: that of `[i]` and `[0, i]`, or a slice.

    Args:
        key: What stands in the brackets.

    Raises:
        IndexError: It speaks of another row than the only one.
        TypeError: It is neither a number nor a slice.

    Example:
        >>> column(7), column((0, 7)), column((0, slice(None)))
        (7, 7, slice(None, None, None))
    """
    if isinstance(key, tuple):
        pair = cast(tuple[object, ...], key)
        if len(pair) != 2 or not (pair[0] in (0, -1) or pair[0] == slice(None)):
            raise IndexError(f"logits are one row: index them by [i] or [0, i], not by {key!r}")
        key = pair[1]
    if isinstance(key, slice) or hasattr(key, "__index__"):
        return cast(int | slice, key)
    raise TypeError(f"logits are indexed by a token id or a slice, not by {key!r:.80}")


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
