"""What the mods of a request know of each other, kept equal in engine and worker.

Mods of one request share holds and writers (`RequestContext`). Each side has stand-ins for those of
the other side, and sends its own when they change.
"""

from typing import TYPE_CHECKING

from concordance_sdk.request_context import RequestContext, Writer

from concordance_inference.sandbox.protocol.events import SharedState

if TYPE_CHECKING:
    from concordance_sdk.holds import Hold

_NOTHING = SharedState()

#: A writer whose span includes a position this far away has no end yet.
_FAR = 1 << 30

#: Tokens before the end of the completion in which a span that has ended is still reported.
_NEAR = 64

#: Most holds and spans that are exchanged.
_MAX_SPANS = 64


class StandInWriter:
    """A writer of a mod in another process: the spans that it has reported."""

    def __init__(self) -> None:
        """Write nothing yet."""
        self.spans: tuple[tuple[int, int | None], ...] = ()

    def is_writing(self, step: int) -> bool:
        """True if the position `step` is inside one of the spans."""
        return any(begin <= step and (end is None or step < end) for begin, end in self.spans)


class SharedMirror:
    """Exchanges the holds and writers of a request's mods with another process."""

    def __init__(self, context: RequestContext) -> None:
        """Mirror a context.

        Args:
            context: What the mods of this process share.
        """
        self._context = context
        self._holds: list[Hold] = []  # stand-ins
        self._writer = StandInWriter()
        self._is_known = False  # the context knows the stand-in writer
        self._last = SharedState()

    def apply(self, state: SharedState) -> None:
        """Take over what the other process has reported."""
        holds = self._context.holds
        for hold in self._holds:
            holds.release(hold)
        self._holds = [holds.add(step, hides=hides, end=end) for step, hides, end in state.holds]
        self._writer.spans = state.writing
        if state.writing and not self._is_known:
            self._is_known = True
            self._context.may_write(0, by=self._writer)

    def changes(self, length: int) -> SharedState | None:
        """Return what the mods of this process hold and write, if it has changed.

        Args:
            length: The completion's length.
        """
        if not self._context.holds and not self._context.writers and self._last == _NOTHING:
            return None  # as for nearly all mods
        own = [hold for hold in self._context.holds if hold not in self._holds]
        holds = tuple((hold.step, hold.hides, hold.end) for hold in own[:_MAX_SPANS])
        writers = [each for each in self._context.writers if each is not self._writer]
        state = SharedState(holds, tuple(_spans(writers, length)[:_MAX_SPANS]))
        if state == self._last:
            return None
        self._last = state
        return state


def _spans(writers: list[Writer], length: int) -> list[tuple[int, int | None]]:
    return [span for writer in writers for span in _spans_of(writer, length)]


def _spans_of(writer: Writer, length: int) -> list[tuple[int, int | None]]:
    """Return the spans of a writer near the end of a completion."""
    is_open = writer.is_writing(_FAR)
    begin = max(0, length - _NEAR)
    steps = [step for step in range(begin, length + 2) if writer.is_writing(step)]
    spans: list[tuple[int, int | None]] = []
    for step in steps:
        if spans and spans[-1][1] == step:
            spans[-1] = (spans[-1][0], step + 1)
        else:
            spans.append((step, step + 1))
    if is_open:
        first = spans.pop()[0] if spans and spans[-1][1] == length + 2 else length + 2
        spans.append((first, None))
    return spans
