"""The context that the mods of one request share.

A host makes one `RequestContext` for each request and hands it to the request's mods. Code that a
mod runs finds it with `current_request()`, without an argument in every event.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, TypeVar
from weakref import WeakSet

from concordance_shared import Conversation

from concordance_sdk.holds import Holds

if TYPE_CHECKING:
    from concordance_sdk.channels.completion_channels import Channels
    from concordance_sdk.host.request_state import Given

_current: ContextVar["RequestContext | None"] = ContextVar("concordance_request", default=None)


class Writer(Protocol):
    """Part of a mod that writes a span of the completion: a constrained answer, a self-prompt."""

    def is_writing(self, step: int) -> bool:
        """True if the position `step`, the next to be decided, is inside its span."""
        ...


W = TypeVar("W", bound=Writer)


class RequestContext:
    """What the mods of one request share: its conversation, its writers, values kept for it.

    Writers exclude each other: none begins inside the span of another. Nothing is locked and
    released: each writer computes from the step whether it is inside its span, so a span that any
    mod backtracks into is open again. Writers that wait are called in the order of the mods at the
    next event, so they take turns in that order.

    Attributes:
        conversation: The request's messages and schemas.
        request_id: The id of the request, for logs; empty if it has none.
        values: Values that `PerRequest` made for the request; they live as long as it does.
        holds: Text that a stream holds back, or that is never shown.
        channels: The channels of the completion; `None` if the model has none. Set by the host once
            the request has a completion.
        given: The beginning of the completion, if an earlier request generated it. Set by the host.

    Examples:
        >>> class Part:
        ...     def is_writing(self, step):
        ...         return 3 <= step < 8
        >>> request, first, second = RequestContext(), Part(), Part()
        >>> request.may_write(3, by=first)
        True
        >>> request.may_write(5, by=second), request.may_write(8, by=second)
        (False, True)
    """

    def __init__(self, conversation: Conversation | None = None, *, request_id: str = "") -> None:
        """Make the context of a request that has not started."""
        self.conversation = conversation or Conversation()
        self.request_id = request_id
        self.values: list[object] = []
        self.holds = Holds()
        self.channels: Channels | None = None
        self.given: Given | None = None
        # Weak: a writer that its owner replaces by another one no longer excludes anyone.
        self._writers: WeakSet[Writer] = WeakSet()
        self._has_writers = False  # iterating over a `WeakSet` is slow

    def may_write(
        self, step: int, *, by: Writer | None = None, beside: type[Writer] | None = None
    ) -> bool:
        """True if a span may begin at `step`, the next position to be decided.

        Args:
            step: The position.
            by: The writer that would begin; from now on it excludes others. `None` for a text that
                is forced in one event.
            beside: Writers of this type do not exclude it.
        """
        if by is not None:
            self._add(by)
        return not self._has_writers or not any(
            other.is_writing(step)
            for other in self._writers
            if other is not by and not (beside and isinstance(other, beside))
        )

    def peers_of(self, writer: W) -> list[W]:
        """The other writers of the same type; `writer` is one of the request's from now on."""
        self._add(writer)
        return [w for w in self._writers if w is not writer and isinstance(w, type(writer))]

    @property
    def writers(self) -> list[Writer]:
        """The writers that exclude each other. For hosts."""
        return list(self._writers) if self._has_writers else []

    def _add(self, writer: Writer) -> None:
        self._writers.add(writer)
        self._has_writers = True

    @contextmanager
    def entered(self) -> Generator[None]:
        """Make this the current request for the calls inside."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


def current_request() -> RequestContext | None:
    """The request that a mod is being called for; `None` outside of a mod."""
    return _current.get()


def set_current_request(request: RequestContext) -> None:
    """Make `request` the current one for all that runs in this `contextvars.Context`."""
    _current.set(request)


def may_write(
    step: int,
    *,
    by: Writer | None = None,
    beside: type[Writer] | None = None,
    channel: str | None = None,
    anywhere: bool = False,
) -> bool:
    """`RequestContext.may_write` of the current request; always True outside of a mod.

    Where messages have headers, a span begins within the content of a message only.

    Args:
        step: The position.
        by: The writer that would begin.
        beside: Writers of this type do not exclude it.
        channel: The channel in which it begins, in place of the content.
        anywhere: It may begin in a call of a tool, too.
    """
    request = _current.get()
    if request is None:
        return True
    may_begin = request.may_write(step, by=by, beside=beside)  # also makes it known as a writer
    channels = request.channels
    if channels is None or not channels.format.has_headers or anywhere:
        return may_begin
    place = channels.at(step)
    return may_begin and (place.is_content if channel is None else place.channel == channel)


def ends_hidden(length: int) -> bool:
    """True if a completion of the current request ends in text that is never shown.

    Such text is no part of what a mod searches or counts: a question that another mod erases.

    Args:
        length: The completion's length, in tokens.
    """
    request = _current.get()
    if request is None or not request.holds:
        return False
    hidden = request.holds.first_hidden()
    return hidden is not None and hidden < length


def num_given() -> int:
    """The tokens of the completion that an earlier request generated, which no mod can change."""
    request = _current.get()
    return len(request.given.token_ids) if request and request.given else 0
