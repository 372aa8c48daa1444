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

    Examples:
        The row of the test harness, in which token 1 is the likeliest of three:

        >>> from concordance_sdk.testing import ScriptedLogits
        >>> logits = ScriptedLogits([0.0, 2.0, 1.0])
        >>> len(logits), logits[1], logits.top_k(2), logits.margin()
        (3, 2.0, [(1, 2.0), (2, 1.0)], 1.0)
    """

    def __len__(self) -> int:
        """The size of the vocabulary."""
        ...

    def __getitem__(self, key: Any) -> Any:
        """The score of one token, `logits[token_id]`; or those of a slice, as a numpy array.

        `logits[0, token_id]` reads the same, for code that knows logits as a batch of one row.

        Raises:
            IndexError: The token is outside the vocabulary, or the row is not the only one.
            TypeError: The index is neither a number nor a slice.
        """
        ...

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """The `k` best `(token_id, score)` pairs, best first; only these leave the device.

        Of equal scores, the lowest token id comes first.

        Raises:
            ValueError: `k` is negative.
        """
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

        Raises:
            ValueError: `k` is less than 1.
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

    Examples:
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
    """Something that happened to one request.

    Attributes:
        request_id: Names the request.
        step: The position of the completion that the event speaks of, from 0 on.

    Examples:
        Events are values: they compare, match, and travel as JSON by their names.

        >>> import msgspec
        >>> event = Sampled(request_id="r1", step=3, sampled_token=42)
        >>> msgspec.json.encode(event)
        b'{"type":"Sampled","request_id":"r1","step":3,"sampled_token":42}'
    """

    request_id: str
    step: int


class ContextInfo(Struct, frozen=True, kw_only=True):
    """The prompt, as the model will read it.

    Attributes:
        tokens: Its token ids.

    Examples:
        >>> ContextInfo(tokens=(1, 2, 3)).prompt_len
        3
    """

    tokens: tuple[int, ...]

    @property
    def prompt_len(self) -> int:
        """How many tokens the prompt has."""
        return len(self.tokens)


class Prefilled(Event, frozen=True, kw_only=True, tag=True):
    """The prompt is tokenized and not yet read by the model. Comes once, first.

    Attributes:
        max_steps: The completion's budget, in tokens.
        context_info: The prompt.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Prefilled])
        ... def be_brief(event, actions):
        ...     prompt = event.context_info.tokens
        ...     return actions.adjust_prefill(prompt, max_steps=min(event.max_steps, 3))
        >>> play(be_brief, says="abcdef").text
        'abc'
    """

    max_steps: int
    context_info: ContextInfo


class ForwardPass(Event, frozen=True, kw_only=True, tag=True, eq=False):
    """The model has scored position `step`; nothing is sampled there yet.

    Attributes:
        logits: The scores, a `Logits`.  (vocab,) float32

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[ForwardPass])
        ... def no_a(event, actions):
        ...     best, _ = event.logits.top_k(1)[0]
        ...     return actions.adjust_logits(ban=b"a") if best == ord("a") else None
        >>> "a" in play(no_a, script="cat", max_tokens=3).text
        False
    """

    logits: Any  # (vocab,) float32. Typed `Any` so that the struct can be decoded.

    def with_logits(self, logits: Logits) -> Self:
        """The same event over another row, for the next mod in order.

        Args:
            logits: The row.  (vocab,) float32
        """
        return type(self)(request_id=self.request_id, step=self.step, logits=logits)


class Sampled(Event, frozen=True, kw_only=True, tag=True):
    """A token was sampled for position `step` and is not yet part of the completion.

    Attributes:
        sampled_token: Its id.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Sampled])
        ... def capitals(event, actions, tokenizer):
        ...     text = tokenizer.decode([event.sampled_token], skip_special_tokens=True)
        ...     if text != text.upper():
        ...         return actions.force_tokens(tokenizer.encode(text.upper()))
        >>> play(capitals, script="Hi!").text
        'HI!'
    """

    sampled_token: int


class Added(Event, frozen=True, kw_only=True, tag=True):
    """Tokens were appended to the completion; the first of them stands at `step`.

    Attributes:
        added_tokens: Their ids.
        forced: Whether a mod put any of them there, or all were sampled.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Added])
        ... def emphasis(event, actions):
        ...     if event.added_tokens == tuple(b"!") and not event.forced:
        ...         return actions.force_tokens(b"!!")
        >>> play(emphasis, says="no! yes").text
        'no!!! yes'
    """

    added_tokens: tuple[int, ...]
    forced: bool


class Finished(Event, frozen=True, kw_only=True, tag=True):
    """The request has ended, for whatever reason. Comes once, last; nothing can be changed.

    Attributes:
        finish_reason: Why it ended.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> lengths = []
        >>> @mod(on=[Finished])
        ... def count(event, actions):
        ...     lengths.append((event.step, event.finish_reason.value))
        >>> _ = play(count, says="abc", max_tokens=2)
        >>> lengths
        [(2, 'length')]
    """

    finish_reason: FinishReason


EVENTS: tuple[type[Event], ...] = (Prefilled, ForwardPass, Sampled, Added, Finished)
"""All events, in the order in which they come."""
