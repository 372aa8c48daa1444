"""The order in which waiting requests are next: owners take turns."""

from collections import deque
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from concordance_inference.engine.scheduling.waiting_queue import Waiting


class Place(NamedTuple):
    """Where a request was in the order.

    Attributes:
        turn: The turn of its owner; -1 before all owners.
        position: Its index among the requests of its owner, or among those before all.
    """

    turn: int
    position: int


#: The place of the next request.
FRONT = Place(-1, 0)


class OwnerTurns:
    """Requests that wait: those of an owner in order of arrival, one of each owner in turn.

    An owner with many requests delays another by one turn only:

        arrival     a1 a2 a3 b1 c1 a4
        order       a1 b1 c1 a2 a3 a4

    Requests that were put back to the front come before all others.
    """

    def __init__(self) -> None:
        """Start without requests."""
        self._first: deque[Waiting] = deque()
        self._owners: dict[str, deque[Waiting]] = {}  # the next turn first; none is empty
        self._len = 0  # read by any thread

    def __len__(self) -> int:
        return self._len

    def __iter__(self) -> Iterator["Waiting"]:
        yield from self._first
        queues = list(self._owners.values())
        if len(queues) == 1:
            yield from queues[0]
            return
        for turn in zip_longest(*queues):
            yield from (waiting for waiting in turn if waiting is not None)

    def append(self, waiting: "Waiting") -> None:
        """Add a request after those of its owner."""
        self._owners.setdefault(waiting.request.owner, deque()).append(waiting)
        self._len += 1

    def insert(self, waiting: "Waiting", place: Place = FRONT) -> None:
        """Put a request back, which gives its owner the turn back that it had."""
        self._len += 1
        if place.turn < 0:
            self._first.insert(place.position, waiting)
            return
        owner = waiting.request.owner
        queue = self._owners.pop(owner, deque["Waiting"]())
        queue.insert(place.position, waiting)
        others = list(self._owners.items())
        others.insert(place.turn, (owner, queue))
        self._owners = dict(others)

    def take(self, waiting: "Waiting") -> Place:
        """Remove a request, which was the turn of its owner; return its place."""
        owner = waiting.request.owner
        place = self._place_of(waiting)
        self.remove(waiting)
        if place.turn >= 0 and owner in self._owners:
            self._owners[owner] = self._owners.pop(owner)
        return place

    def remove(self, waiting: "Waiting") -> None:
        """Remove a request."""
        self._queue_of(waiting).remove(waiting)
        self._len -= 1
        owner = waiting.request.owner
        if owner in self._owners and not self._owners[owner]:
            del self._owners[owner]

    def replace(self, waiting: "Waiting", new: "Waiting") -> None:
        """Put a request in the place of another."""
        queue = self._queue_of(waiting)
        queue[queue.index(waiting)] = new

    def of_owner(self, owner: str) -> "deque[Waiting]":
        """Return the requests of an owner that were not put back to the front, in order."""
        return self._owners.get(owner, deque())

    def clear(self) -> None:
        """Remove all."""
        self._first.clear()
        self._owners.clear()
        self._len = 0

    def _place_of(self, waiting: "Waiting") -> Place:
        if waiting in self._first:
            return Place(-1, self._first.index(waiting))
        owner = waiting.request.owner
        return Place(list(self._owners).index(owner), self._owners[owner].index(waiting))

    def _queue_of(self, waiting: "Waiting") -> "deque[Waiting]":
        return self._first if waiting in self._first else self._owners[waiting.request.owner]
