"""State of each request, for objects that several requests share.

A mod that is a function, or an object at the top of its module, serves many requests. What it
keeps for one of them is held by that request's instance of the mod, and goes when that goes,
however the request ended and whatever events the mod listens to.
"""

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Generic, TypeVar

Value = TypeVar("Value")

_holder: ContextVar[list[object] | None] = ContextVar("concordance_holder", default=None)


def hold_in(holder: list[object]) -> None:
    """Let `holder` keep alive what is made for its request in all that runs in this context."""
    _holder.set(holder)


class PerRequest(Generic[Value]):
    """One value for each request.

    Outside of a mod's handler nothing says when a request ends: there, a value stays until it is
    released.

    Examples:
        >>> class Count:
        ...     tokens = 0
        >>> counts = PerRequest(lambda request_id: Count())
        >>> counts["r1"].tokens += 2
        >>> counts["r1"].tokens, counts["r2"].tokens
        (2, 0)
        >>> counts.release("r1")
        >>> counts.get("r1") is None
        True
    """

    def __init__(self, make: Callable[[str], Value]) -> None:
        """Hold nothing yet.

        Args:
            make: Makes the value of a request, given its id; something that can be referred to
                weakly.
        """
        self._make = make
        self._values: weakref.WeakValueDictionary[str, Value] = weakref.WeakValueDictionary()
        self._kept: dict[str, Value] = {}  # those that no request holds

    def __getitem__(self, request_id: str) -> Value:
        value = self.get(request_id)
        return self.put(request_id, self._make(request_id)) if value is None else value

    def get(self, request_id: str) -> Value | None:
        """The value of a request; `None` if it has none yet, or none any more."""
        return self._values.get(request_id)

    def put(self, request_id: str, value: Value) -> Value:
        """Set the value of a request, and return it."""
        holder = _holder.get()
        if holder is None:
            self._kept[request_id] = value
        else:
            holder.append(value)
        self._values[request_id] = value
        return value

    def drop(self, request_id: str) -> None:
        """Forget the value of a request, whether or not that has ended."""
        self._kept.pop(request_id, None)
        self._values.pop(request_id, None)

    def request_ids(self) -> list[str]:
        """The requests that have a value."""
        return list(self._values)

    def release(self, request_id: str) -> None:
        """Let go of the value of a request that has ended.

        What the request itself holds stays until that is gone.
        """
        self._kept.pop(request_id, None)
