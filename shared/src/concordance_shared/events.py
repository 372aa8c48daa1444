"""The five events that the engine dispatches to mods.

Every event belongs to one request and one position of its completion, `step`, counted from 0.
After a backtrack, `step` continues from the new length of the completion.
"""

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, Self, cast

from msgspec import UNSET, Struct, UnsetType, field

from concordance_shared.channels import NOWHERE, ChannelPlace
from concordance_shared.finish import FinishReason


class Logits(Protocol):
    """The logits of one position: a float32 row of the size of the vocabulary, on the device.

    They are the model's logits after the request's logit bias and penalties and after the
    adjustments of earlier mods, but before the request's temperature, top-k, top-p and min-p.

    Access copies from the device and is what costs time. This package depends on no array library:
    the engine's row wraps an mlx array, the test harness's row a list.

    A mod may keep the logits of a position and read them later in the same request. They take
    4 bytes x vocabulary on the device. Numbers, such as `logprobs(token_ids)`, cost less to keep.

    Examples:
        A row of the test harness with a vocabulary of three tokens, of which 1 is the top token:

        >>> from concordance_sdk.testing import ScriptedLogits
        >>> logits = ScriptedLogits([0.0, 2.0, 1.0])
        >>> len(logits), logits[1], logits.top_k(2), logits.margin()
        (3, 2.0, [(1, 2.0), (2, 1.0)], 1.0)
    """

    def __len__(self) -> int:
        """Return the size of the vocabulary."""
        ...

    def __getitem__(self, key: Any) -> Any:
        """Return the logit of one token, `logits[token_id]`, or a slice as a numpy array.

        `logits[0, token_id]` is equivalent, for code that treats logits as a batch of one row.

        Raises:
            IndexError: The token is outside the vocabulary, or the row index is not 0.
            TypeError: The index is neither an integer nor a slice.
        """
        ...

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """Return the `k` largest logits as `(token_id, logit)`, in descending order.

        Ties are ordered by token id. Only these pairs are copied from the device.

        Raises:
            ValueError: `k` is negative.
        """
        ...

    def logprob(self, token_id: int) -> float:
        """Return the log-probability of one token, in nats: at most 0.

        -inf for a token that cannot be sampled. Only the number is copied from the device.

        Raises:
            IndexError: The token is outside the vocabulary.
            TypeError: It is not an integer.

        Examples:
            >>> import math
            >>> from concordance_sdk.testing import ScriptedLogits
            >>> logits = ScriptedLogits([math.log(3), 0.0])
            >>> round(math.exp(logits.logprob(0)), 3)
            0.75
        """
        ...

    def logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """Return the log-probabilities of several tokens, in their order.

        They are computed together; only these numbers are copied from the device.

        Raises:
            IndexError: A token is outside the vocabulary.
            TypeError: They are not integers.
        """
        ...

    def entropy(self) -> float:
        """Return the entropy of the distribution, in nats.

        0 if one token is certain, at most log(vocab). Computed on the device; only the result is
        copied. Tokens that cannot be sampled do not contribute. The request's temperature is not
        applied yet: at a high temperature, sampling is less certain than this.
        """
        ...

    def margin(self, k: int = 2) -> float:
        """Return the difference between the largest and the `k`-th largest logit, in nats.

        The probability of the top token is `exp(margin)` times that of the `k`-th. Infinite if
        fewer than `k` tokens can be sampled. Only the result is copied from the device.

        Raises:
            ValueError: `k` is less than 1.
        """
        ...

    def to_numpy(self) -> Any:
        """Return the row as a new numpy array.  (vocab,) float32."""
        ...


def column(key: object) -> int | slice:
    """Return the column that an index into a row of logits selects: `[i]`, `[0, i]` or a slice.

    Args:
        key: The argument of `__getitem__`.

    Raises:
        IndexError: The row index is not 0.
        TypeError: The key is neither an integer nor a slice.

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


def token_columns(token_ids: object, vocab_size: int) -> list[int]:
    """Return the token ids of a lookup as plain integers; arrays of numpy or mlx too.

    Args:
        token_ids: The argument of `Logits.logprobs`.
        vocab_size: The length of the row.

    Raises:
        IndexError: A token is outside the vocabulary.
        TypeError: They are not integers.

    Examples:
        >>> token_columns(b"ab", 256)
        [97, 98]
    """
    if hasattr(token_ids, "tolist"):
        token_ids = cast(Any, token_ids).tolist()
    if isinstance(token_ids, str) or not isinstance(token_ids, Iterable):
        raise TypeError(f"log-probabilities are of a list of token ids, not of {token_ids!r:.80}")
    ids: list[int] = []
    for token_id in cast(Iterable[Any], token_ids):
        if isinstance(token_id, str):
            raise TypeError(f"a token id is an integer: use tokenizer.encode({token_id!r:.40})")
        if isinstance(token_id, bool) or not hasattr(token_id, "__index__"):
            raise TypeError(f"a token id is an integer, not {token_id!r:.80}")
        ids.append(operator.index(token_id))
    if outside := [i for i in ids if not 0 <= i < vocab_size]:
        raise IndexError(f"token id {outside[0]} is outside the vocabulary of {vocab_size}")
    return ids


class Event(Struct, frozen=True, kw_only=True, tag=True):
    """Something that happened to one request.

    Attributes:
        request_id: Identifies the request.
        step: The position in the completion, from 0.

    Examples:
        Events are values: they compare, match, and encode to JSON with their name as `type`.

        >>> import msgspec
        >>> event = Sampled(request_id="r1", step=3, sampled_token=42)
        >>> msgspec.json.encode(event)
        b'{"type":"Sampled","request_id":"r1","step":3,"sampled_token":42}'
    """

    request_id: str
    step: int


class TokenEvent(Event, frozen=True, kw_only=True, dict=True):
    """An event at a position of the completion, which has a channel if the model has channels.

    The place is computed when it is first read.

    Attributes:
        known_place: The value of `place` in an event that was decoded or made by hand; encoded as
            `place`. An engine leaves it out.

    Examples:
        >>> event = Added(request_id="r1", step=3, added_tokens=(42,), forced=False,
        ...               known_place=ChannelPlace(channel="final"))
        >>> event.channel, event.recipient, event.in_header
        ('final', None, False)
    """

    known_place: ChannelPlace | UnsetType = field(default=UNSET, name="place")

    @property
    def place(self) -> ChannelPlace:
        """Where the next token is, after the completion as it is at this event.

        At `ForwardPass` and `Sampled` that is the position `step`, at `Added` the one after the
        added tokens.

        Raises:
            ValueError: It was not read while the event was handled, and the completion has been
                backtracked since.
        """
        if isinstance(self.known_place, ChannelPlace):
            return self.known_place
        known = cast(dict[str, Any], self.__dict__)
        place = cast(ChannelPlace | None, known.get("_place"))
        if place is None:
            read = cast(Callable[[], ChannelPlace] | None, known.get("_read_place"))
            place = known["_place"] = NOWHERE if read is None else read()
        return place

    @property
    def channel(self) -> str | None:
        """The channel: `analysis`, `final` or another; `None` in a header, or without channels.

        Models with `<think>` tags are in `analysis` between the tags, and in `final` after them.

        Examples:
            >>> from concordance_sdk import Added, mod
            >>> from concordance_sdk.testing import play, tag_channels
            >>> seen = []
            >>> @mod(on=[Added])
            ... def watch(event, actions):
            ...     seen.append(event.channel)
            >>> _ = play(watch, says="<think>a</think>b", channels=tag_channels())
            >>> seen[5], seen[7], seen[-1]
            (None, 'analysis', 'final')
        """
        return self.place.channel

    @property
    def recipient(self) -> str | None:
        """The tool that the message is sent to, such as `functions.search`; `None` for none."""
        return self.place.recipient

    @property
    def in_header(self) -> bool:
        """True if the next token belongs to the header of a message, or precedes one."""
        return self.place.in_header

    def set_place_reader(self, read: Callable[[], ChannelPlace]) -> None:
        """Set the function that computes `place`. For hosts of mods.

        Args:
            read: Called at most once.
        """
        cast(dict[str, Any], self.__dict__)["_read_place"] = read


class ContextInfo(Struct, frozen=True, kw_only=True):
    """The prompt, as it will be prefilled.

    Attributes:
        tokens: The token ids of the prompt.

    Examples:
        >>> ContextInfo(tokens=(1, 2, 3)).prompt_len
        3
    """

    tokens: tuple[int, ...]

    @property
    def prompt_len(self) -> int:
        """The number of prompt tokens."""
        return len(self.tokens)


class Prefilled(Event, frozen=True, kw_only=True, tag=True):
    """The prompt is tokenized but not yet prefilled. The first event of a request, exactly once.

    Attributes:
        max_steps: The maximum number of completion tokens.
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


class ForwardPass(TokenEvent, frozen=True, kw_only=True, tag=True, eq=False):
    """The model has computed the logits of position `step`; no token is sampled yet.

    Attributes:
        logits: The logits, a `Logits`.  (vocab,) float32
        prompt_logprobs: One log-probability per token of the prompt, in nats, `None` for the first;
            at the first `ForwardPass` of a request in which a mod asked for them by
            `adjust_prefill(tokens, logprobs=True)`, otherwise `None`.

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
    prompt_logprobs: tuple[float | None, ...] | None = None

    def with_logits(self, logits: Logits) -> Self:
        """Return a copy of this event with other logits, for the next mod.

        Args:
            logits: The new logits.  (vocab,) float32
        """
        event = type(self)(
            request_id=self.request_id,
            step=self.step,
            logits=logits,
            prompt_logprobs=self.prompt_logprobs,
            known_place=self.known_place,
        )
        cast(dict[str, Any], event.__dict__).update(cast(dict[str, Any], self.__dict__))
        return event


class Sampled(TokenEvent, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """A token was sampled for position `step` but is not yet part of the completion.

    Attributes:
        sampled_token: The id of the token.
        known_logprob: The value of `logprob` in an event that was decoded or made by hand; encoded
            as `logprob`. An engine leaves it out and computes the value when `logprob` is read.

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
    known_logprob: float | None = field(default=None, name="logprob")

    @property
    def logprob(self) -> float:
        """The log-probability of the sampled token, in nats.

        That of the model itself: before mods, `logit_bias`, penalties and the temperature. It is
        the number that the API returns as `logprobs`. Computed when it is first read, which has to
        be while this event is handled; the value then remains.

        Raises:
            ValueError: It was not read while the event was handled.

        Examples:
            >>> import math
            >>> from concordance_sdk import mod
            >>> from concordance_sdk.testing import play
            >>> @mod(on=[Sampled])
            ... def only_sure(event, actions):
            ...     if math.exp(event.logprob) < 0.4:
            ...         return actions.force_tokens(b"?")
            >>> play(only_sure, script=lambda ids: {65: 9.0} if len(ids) < 2 else {66: 0.1},
            ...      max_tokens=3).text
            'AA?'
        """
        if self.known_logprob is not None:
            return self.known_logprob
        known = cast(dict[str, Any], self.__dict__)
        if "_logprob" not in known:
            read = cast(Callable[[], float] | None, known.get("_read"))
            if read is None:
                raise ValueError(
                    f"the logprob of the token sampled at step {self.step} can be read only while "
                    "the event is handled; read it in the handler of Sampled, and keep the number"
                )
            known["_logprob"] = read()
        return cast(float, known["_logprob"])

    def set_logprob_reader(self, read: Callable[[], float] | None) -> None:
        """Set the function that computes `logprob`. For hosts of mods.

        Args:
            read: Called at most once; `None` when the event has been handled.
        """
        cast(dict[str, Any], self.__dict__)["_read"] = read


class Added(TokenEvent, frozen=True, kw_only=True, tag=True):
    """Tokens were appended to the completion, starting at position `step`.

    Attributes:
        added_tokens: The token ids.
        forced: True if a mod forced any of them; False if all were sampled.

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
    """The request has ended, for any reason. The last event, exactly once; nothing can be changed.

    Attributes:
        finish_reason: The reason why it ended.

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
"""The classes of all events, in the order of dispatch."""
