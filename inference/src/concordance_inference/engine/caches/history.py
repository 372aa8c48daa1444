"""What a row held at past positions, so that rewinding is picking an older one. No arrays.

Recurrent layers replace their states and never write into them, so an old state is a reference. The
last few positions are kept, and pinned ones:

    depth 3, 8 pinned, positions so far 1 2 ... 20:   8, 18 19 20 are held
    rewind to 19                                      8, 18 19
    reach(15)                                         8
"""

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

Held = TypeVar("Held")


class History(Generic[Held]):
    """The positions to which one row can rewind, and what it held at each.

    A position is the number of tokens before it. Every row can rewind to 0, where it holds nothing.
    """

    def __init__(self, depth: int) -> None:
        """Make an empty history.

        Args:
            depth: Last positions to keep, beside the pinned ones; at least 1.
        """
        self._depth = depth
        self._recent: deque[tuple[int, Held]] = deque()
        self._pinned: dict[int, Held] = {}
        self._pins: set[int] = set()

    @property
    def depth(self) -> int:
        """Last positions to keep, beside the pinned ones; at least 1."""
        return self._depth

    @depth.setter
    def depth(self, depth: int) -> None:
        self._depth = depth
        self._drop_oldest()

    @property
    def current(self) -> Held | None:
        """What is held at the last position; `None` at position 0."""
        return self._recent[-1][1] if self._recent else None

    @property
    def position(self) -> int:
        """The last position."""
        return self._recent[-1][0] if self._recent else 0

    def held_at(self, position: int) -> Held | None:
        """Return what was held at a position, or None if that was dropped."""
        if position in self._pinned:
            return self._pinned[position]
        return next((held for at, held in self._recent if at == position), None)

    def pin(self, positions: Iterable[int]) -> None:
        """Keep what will be held at these positions, however many follow."""
        self._pins.update(positions)

    def push(self, position: int, held: Held) -> None:
        """Advance to a position."""
        self._recent.append((position, held))
        if position in self._pins:
            self._pinned[position] = held
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        while len(self._recent) > self._depth:
            self._recent.popleft()

    def reach(self, position: int) -> int:
        """Return the last held position that is at most `position`, or 0."""
        recent = (at for at, _ in reversed(self._recent) if at <= position)
        pinned = (at for at in self._pinned if at <= position)
        return max([0, next(recent, 0), *pinned])

    def rewind(self, position: int) -> None:
        """Rewind to a position that `reach` returned."""
        while self._recent and self._recent[-1][0] > position:
            self._recent.pop()
        self._pinned = {at: held for at, held in self._pinned.items() if at <= position}
        if position and self.position != position:
            self._recent.append((position, self._pinned[position]))
