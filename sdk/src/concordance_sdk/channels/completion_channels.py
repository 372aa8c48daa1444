"""The channels of one completion, followed through appended and removed tokens."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from concordance_shared import Action, ChannelPlace
from msgspec import Struct

from concordance_sdk.action_builder import Actions
from concordance_sdk.channels.channel_format import ChannelFormat
from concordance_sdk.request_context import current_request

#: The most tokens that a character has: each adds at least one of its bytes.
_CHARACTER = 4


class Tokens(Protocol):
    """A prompt and its completion."""

    token_ids: list[int]
    prompt_len: int


class Stretch(Struct, frozen=True):
    """A part of the completion within which the state does not change."""

    begin: int  # number of tokens before it
    state: Any
    place: ChannelPlace
    num_reasoning: int  # tokens of reasoning before it


class Channels:
    """Where a completion is, in a model's channels.

    A mod gets that of its request from `get_channels()`. Nothing is computed before it is read;
    then each token is looked at once.

    Attributes:
        format: How the model marks its channels.
        num_cuts: The number of times that tokens were removed.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play, tag_channels
        >>> @mod
        ... class Short:
        ...     def added(self, event, actions):
        ...         channels = get_channels()
        ...         if channels and channels.num_reasoning >= 3:
        ...             return channels.end_reasoning(actions)
        >>> play(Short, says="<think>hm, so", channels=tag_channels()).text
        '<think>hm,</think> so'
    """

    def __init__(self, format: ChannelFormat, tokens: Tokens) -> None:  # noqa: A002
        """Follow a completion. For hosts of mods.

        Args:
            format: How the model marks its channels.
            tokens: The prompt and the completion. The host calls `cut` whenever it removes tokens.
        """
        self.format = format
        self._tokens = tokens
        state = format.opened
        self._stretches = [Stretch(0, state, format.place(state), 0)]
        self._watched = format.watched(state)  # tokens that may change the last state
        self._num_followed = 0
        self.num_cuts = 0

    # What mods read

    @property
    def place(self) -> ChannelPlace:
        """Where the next token is."""
        return self._last().place

    @property
    def channel(self) -> str | None:
        """The channel of the next token; `None` in a header."""
        return self.place.channel

    @property
    def begin(self) -> int:
        """The step of the first token of the current message, after its header or tag."""
        last = self._last()
        return last.begin - self.format.lead(last.state)

    @property
    def rest(self) -> bytes:
        """What the token before `begin` adds to the message, as in `</think>Hi`; mostly nothing."""
        return self.format.rest(self._last().state)

    @property
    def num_reasoning(self) -> int:
        """The number of tokens of reasoning so far, of all messages together."""
        last, length = self._last(), self._length
        return last.num_reasoning + (length - last.begin if last.place.is_reasoning else 0)

    @property
    def is_whole(self) -> bool:
        """True unless the completion ends inside a character."""
        length = self._length
        begin = max(self.begin, length - _CHARACTER) if not self.place.in_header else length
        ids = self._ids(begin, length)
        return not _ends_inside_character(b"".join(map(self.format.token_bytes, ids)))

    def at(self, length: int) -> ChannelPlace:
        """Where the token after the first `length` tokens of the completion is.

        Examples:
            >>> from types import SimpleNamespace
            >>> from concordance_sdk.testing import tag_channels
            >>> ids = SimpleNamespace(token_ids=[*b"?<think>a</think>b"], prompt_len=1)
            >>> channels = Channels(tag_channels(), ids)
            >>> channels.at(7).channel, channels.at(17).channel
            ('analysis', 'final')
        """
        return self.stretch_at(length).place

    def token_ids(self, begin: int, end: int) -> list[int]:
        """The tokens of the completion from one step to another."""
        return list(self._ids(begin, end))

    # What mods do

    def to_final(self) -> list[int] | None:
        """The tokens that end the current message and open the channel `final`.

        An empty list in `final`. `None` where it cannot be opened: in a header that names another
        channel, in a tool call, and where a tool must be called. Wait for the next token then.
        """
        ids = self.format.to_final(self._last().state)
        return None if ids is None else list(ids)

    def to_header(self) -> list[int] | None:
        """The tokens that end the current message and begin the header of the next one.

        The model then names the channel: it can still call a tool. To keep it from reasoning again,
        ban `format.reopening(state)` at that position. The same as `to_final()` for a model without
        headers.
        """
        ids = self.format.to_header(self._last().state)
        return None if ids is None else list(ids)

    def end_reasoning(self, actions: Actions) -> Action | None:
        """Return the action that ends the reasoning and opens `final`.

        Where a tool must be called, the model names the channel of the next message itself.

        `None` if the model is not reasoning, or is inside a character, whose last token is awaited.

        Args:
            actions: The builder that the handler was given.
        """
        if not self.place.is_reasoning or not self.is_whole:
            return None
        ids = self.to_final()
        return actions.force_tokens((self.to_header() or []) if ids is None else ids)

    # For hosts

    def reader(self, length: int) -> Callable[[], ChannelPlace]:
        """Return the function that computes the place of an event, while the event is handled.

        Args:
            length: Of the completion at the event.

        Raises:
            ValueError: By the function, once tokens were removed.
        """
        num_cuts = self.num_cuts

        def read() -> ChannelPlace:
            if self.num_cuts != num_cuts:
                raise ValueError(
                    f"the channel after {length} tokens can be read only until tokens are removed; "
                    "read it in the handler of the event, and keep the value"
                )
            return self.stretch_at(length).place

        return read

    def extend(self, token_ids: Sequence[int]) -> None:
        """Do nothing: appended tokens are looked at when a channel is read."""

    def cut(self, length: int) -> None:
        """Forget what follows the first `length` tokens of the completion."""
        self.num_cuts += 1
        if length >= self._num_followed:
            return
        self._num_followed = length
        while self._stretches[-1].begin > length:
            self._stretches.pop()
        self._watched = self.format.watched(self._stretches[-1].state)

    def stretch_at(self, length: int) -> Stretch:
        """Return what the token after the first `length` tokens is a part of."""
        if length == self._num_followed + 1 and self._watched is not None:
            # Fast for a token of content that follows the last one: the usual case.
            ids, index = self._tokens.token_ids, self._tokens.prompt_len + length - 1
            if index < len(ids) and ids[index] not in self._watched:
                self._num_followed = length
                return self._stretches[-1]
        if length >= self._num_followed:
            self._follow(min(length, self._length))
            return self._stretches[-1]
        begins = bisect_right(self._stretches, length, key=lambda stretch: stretch.begin)
        return self._stretches[begins - 1]

    def _last(self) -> Stretch:
        return self.stretch_at(self._length)

    @property
    def _length(self) -> int:
        return len(self._tokens.token_ids) - self._tokens.prompt_len

    def _ids(self, begin: int, end: int) -> Sequence[int]:
        offset = self._tokens.prompt_len
        return self._tokens.token_ids[offset + begin : offset + end]

    def _follow(self, length: int) -> None:
        """Look at the tokens up to a length; most change nothing."""
        state, watched = self._stretches[-1].state, self._watched
        for i, token_id in enumerate(self._ids(self._num_followed, length), self._num_followed):
            if watched is not None and token_id not in watched:
                continue
            after = self.format.after(state, token_id)
            if after is not state:
                self._begin_stretch(i + 1, after)
                state, watched = after, self._watched
        self._num_followed = length

    def _begin_stretch(self, begin: int, state: Any) -> None:
        """Begin a stretch; the tokens of the mark before it are none of the reasoning."""
        last, place = self._stretches[-1], self.format.place(state)
        num_reasoning = last.num_reasoning
        if last.place.is_reasoning:
            num_mark = 0 if place.is_reasoning else self.format.num_mark(state)
            num_reasoning += begin - last.begin - num_mark
        self._stretches.append(Stretch(begin, state, place, num_reasoning))
        self._watched = self.format.watched(state)


class _Given(Struct):
    """A completion that does not change."""

    token_ids: list[int]
    prompt_len: int = 0


def channels_after(format: ChannelFormat, token_ids: Sequence[int]) -> Channels:  # noqa: A002
    """The channels at the end of a completion that does not change."""
    return Channels(format, _Given(list(token_ids)))


def get_channels() -> Channels | None:
    """The channels of the current request; `None` if its model has none.

    Raises:
        RuntimeError: Called outside of a mod's handler.

    Examples:
        >>> from concordance_sdk import Finished, mod
        >>> from concordance_sdk.testing import play, tag_channels
        >>> @mod(on=[Finished])
        ... def count(event, actions):
        ...     channels = get_channels()
        ...     return actions.report(reasoning=channels.num_reasoning if channels else 0)
        >>> play(count, says="<think>abc</think>d", channels=tag_channels()).reports[0].data
        {'reasoning': 3}
    """
    request = current_request()
    if request is None:
        raise RuntimeError("there is no current request: call this inside a mod's handler")
    return request.channels


def _ends_inside_character(data: bytes) -> bool:
    r"""True if UTF-8, or a part of it, ends with an incomplete character.

    Examples:
        >>> _ends_inside_character("é".encode()[:1]), _ends_inside_character("é".encode())
        (True, False)
    """
    for num_bytes, byte in enumerate(reversed(data[-_CHARACTER:]), 1):
        if byte & 0xC0 != 0x80:  # the first byte of a character
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return num_bytes < length
    return False
