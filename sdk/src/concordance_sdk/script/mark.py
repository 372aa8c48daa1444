"""Positions of a completion to which a script can rewind, and what happens to them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:
    from types import TracebackType


class Rewound(Exception):  # noqa: N818  # an event for the script, not a fault
    """Another mod removed text that the script had written. Raised at a `yield` inside `guard()`.

    Attributes:
        position: The number of completion tokens that are left.

    Examples:
        >>> Rewound(3).position
        3
    """

    def __init__(self, position: int) -> None:
        """Report the position."""
        super().__init__(f"another mod removed the completion from position {position} on")
        self.position = position


class Mark:
    """A position in the completion. Made by `run.mark()`; `run.rewind(mark)` returns to it.

    A stream holds back the text after a mark until the mark is released, no variable of the script
    holds it, or the script ends. With `with run.mark() as mark:`, it is released at the end of the
    block.

    Attributes:
        position: The number of completion tokens before it, without an end-of-sequence token. If
            text before the mark is removed, by another mod or by a rewind to an earlier mark, the
            mark moves to where that text began.
        end_ids: The end-of-sequence token that the completion had there, if any, as a list.
        is_intact: False once text before it was removed.
        is_released: True once a stream need not hold back the text after it.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> @mod
        ... def second_try(run):
        ...     with run.mark() as start:
        ...         text = yield run.generate(sentences=1)
        ...         yield run.rewind(start)
        ...     yield run.force(f"Not: {text} But:")
        >>> play(second_try, says="It is 4. It is 5.").text
        'Not: It is 4. But:It is 5.'
    """

    def __init__(self, position: int, end_ids: Sequence[int] = ()) -> None:
        """Mark a position, and the end of the sequence if it is there."""
        self.position = position
        self.end_ids = list(end_ids)
        self.is_intact = True
        self.is_released = False

    def release(self) -> None:
        """Let a stream show the text after the mark, to which the script no longer rewinds."""
        self.is_released = True

    def rewound(self, position: int) -> None:
        """Move to a position at which the completion was cut, if it is before."""
        if position < self.position:
            self.position, self.is_intact = position, False
            self.end_ids = []

    def __enter__(self) -> "Mark":
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        trace: "TracebackType | None",
    ) -> None:
        self.release()


class Marks:
    """The marks to which a script may still rewind. Those that it no longer refers to are dropped.

    Examples:
        >>> marks, start = Marks(), Mark(3)
        >>> marks.add(start)
        >>> marks.first(), len([*marks])
        (3, 1)
        >>> del start
        >>> marks.first(), len([*marks])
        (None, 0)
    """

    def __init__(self) -> None:
        """Start without a mark."""
        self._refs: list[ref[Mark]] = []

    def __bool__(self) -> bool:
        return bool(self._refs)

    def __iter__(self) -> Iterator[Mark]:
        return iter([mark for each in self._refs if (mark := each())])

    def add(self, mark: Mark) -> None:
        """Add a mark."""
        self._refs.append(ref(mark, self._refs.remove))

    def first(self) -> int | None:
        """The position of the first mark, without those that are released; `None` without one."""
        held = [mark for mark in self if not mark.is_released]
        if len(held) < len(self._refs):
            self._refs[:] = [each for each in self._refs if each() in held]
        return min((mark.position for mark in held), default=None)


class Guard:
    """A block of a script that is notified of what other mods remove. Made by `run.guard()`.

    Attributes:
        position: The number of completion tokens that it guards.
        made_at: The file and line of the script that made it, for messages.
        is_entered: True once its block has begun.

    Examples:
        >>> guards = []
        >>> with Guard(3, guards) as guard:
        ...     guards == [guard]
        True
        >>> guards
        []
    """

    def __init__(self, position: int, guards: "list[Guard]", *, made_at: str = "") -> None:
        """Guard the completion up to `position`, while the block runs.

        Args:
            position: The number of completion tokens written before.
            guards: The guards of the blocks that run.
            made_at: The file and line of the script that made it.
        """
        self.position, self.made_at, self.is_entered = position, made_at, False
        self._guards = guards

    def __enter__(self) -> "Guard":
        self.is_entered = True
        self._guards.append(self)
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        trace: "TracebackType | None",
    ) -> None:
        self._guards.remove(self)
