"""What a row held at past positions, so that going back is picking an older one. No arrays.

Recurrent layers replace their states and never write into them, so that an old state is a
reference. The last few positions are kept, and those that were pinned.
"""

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

Held = TypeVar("Held")


class History(Generic[Held]):
    """The positions of one row that can be gone back to, and what it held at each.

    A position is how many tokens stand before it. Nothing is held at position 0, which can always
    be gone back to.
    """

    def __init__(self, depth: int) -> None:
        """Begin empty.

        Args:
            depth: How many positions are kept beside the pinned ones, at least 1.
        """
        self._depth = depth
        self._recent: deque[tuple[int, Held]] = deque()
        self._pinned: dict[int, Held] = {}
        self._pins: set[int] = set()

    @property
    def depth(self) -> int:
        """The number of positions kept beside the pinned ones, at least 1."""
        return self._depth

    @depth.setter
    def depth(self, depth: int) -> None:
        self._depth = depth
        self._forget()

    @property
    def current(self) -> Held | None:
        """What is held at the last position; `None` at position 0."""
        return self._recent[-1][1] if self._recent else None

    @property
    def position(self) -> int:
        """The last position."""
        return self._recent[-1][0] if self._recent else 0

    def held_at(self, position: int) -> Held | None:
        """What was held at a position, if it still is."""
        if position in self._pinned:
            return self._pinned[position]
        return next((held for at, held in self._recent if at == position), None)

    def pin(self, positions: Iterable[int]) -> None:
        """Keep what will be held at these positions, however long ago that is."""
        self._pins.update(positions)

    def push(self, position: int, held: Held) -> None:
        """Go on to a position."""
        self._recent.append((position, held))
        if position in self._pins:
            self._pinned[position] = held
        self._forget()

    def _forget(self) -> None:
        """Drop the oldest positions beyond `depth`."""
        while len(self._recent) > self._depth:
            self._recent.popleft()

    def reach(self, position: int) -> int:
        """The last position not behind `position` that can be gone back to."""
        recent = (at for at, _ in reversed(self._recent) if at <= position)
        pinned = (at for at in self._pinned if at <= position)
        return max([0, next(recent, 0), *pinned])

    def rewind(self, position: int) -> None:
        """Go back to a position that `reach` gave."""
        while self._recent and self._recent[-1][0] > position:
            self._recent.pop()
        self._pinned = {at: held for at, held in self._pinned.items() if at <= position}
        if position and self.position != position:
            self._recent.append((position, self._pinned[position]))
