"""The interface of a description of how a model marks channels."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from concordance_shared import ChannelPlace


class ChannelFormat(Protocol):
    """How the tokens of a completion divide it into channels: a state machine over token ids.

    Its states are immutable, so that a cut of the completion restores an earlier one.
    Thread-safe.

    Examples:
        >>> from concordance_sdk.testing import tag_channels
        >>> format = tag_channels(opened=True)
        >>> state = format.after(format.opened, ord("a"))
        >>> state is format.opened, format.place(state).channel
        (True, 'analysis')
    """

    @property
    def opened(self) -> Any:
        """The state at which a completion begins."""
        ...

    @property
    def has_headers(self) -> bool:
        """True if each message has a header, so that text at the very beginning is none."""
        ...

    def watched(self, state: Any) -> Collection[int] | None:
        """The only tokens that may change a state; `None` if any may."""
        ...

    def after(self, state: Any, token_id: int) -> Any:
        """Return the state after a token; the same object if the token does not change it."""
        ...

    def place(self, state: Any) -> ChannelPlace:
        """The channel of a state."""
        ...

    def lead(self, state: Any) -> int:
        """The number of tokens before a state, the last ones, that are in its channel already."""
        ...

    def num_mark(self, state: Any) -> int:
        """The number of tokens before a state, the last ones, that ended the previous channel."""
        ...

    def rest(self, state: Any) -> bytes:
        """What the token that led to a state adds to the channel, after the mark in it."""
        ...

    def reasoning_ends(self, state: Any) -> tuple[str, ...]:
        """The texts of which any would end the reasoning that a state is in, tokens by name."""
        ...

    def to_final(self, state: Any) -> Sequence[int] | None:
        """The tokens that end a message and open the channel `final`.

        None in `final`. `None` where it cannot be opened: in a header that names another channel,
        in a tool call, and where a tool must be called.
        """
        ...

    def to_header(self, state: Any) -> Sequence[int] | None:
        """The tokens that end a message and let the model choose another channel.

        Those of `to_final` if it has no choice.
        """
        ...

    def reopening(self, state: Any) -> Collection[int]:
        """The tokens that would choose the reasoning, where a header names its channel next."""
        ...

    def end_id(self, place: ChannelPlace) -> int | None:
        """The token that ends a completion at a place; `None` if all tokens that do are alike."""
        ...

    def token_bytes(self, token_id: int, /) -> bytes:
        """The bytes of a token; the name of a special one."""
        ...
