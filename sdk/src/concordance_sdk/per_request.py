"""State per request, for objects that several requests share.

A function mod, or an object at the top of its module, serves many requests. The value that it keeps
for one of them lives in that request's `RequestContext` and is freed with it, however the request
ends and whichever events the mod handles.
"""

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from concordance_sdk.request_context import current_request

Value = TypeVar("Value")


class PerRequest(Generic[Value]):
    """One value for each request.

    Outside of a mod's handler no one reports the end of a request: a value made there is kept until
    `release`.

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
        """Make values on first use.

        Args:
            make: Makes the value of a request from its id; a value of a type that supports weak
                references.
        """
        self._make = make
        self._values: weakref.WeakValueDictionary[str, Value] = weakref.WeakValueDictionary()
        self._kept: dict[str, Value] = {}  # made outside of a mod's handler

    def __getitem__(self, request_id: str) -> Value:
        value = self.get(request_id)
        return self.put(request_id, self._make(request_id)) if value is None else value

    def get(self, request_id: str) -> Value | None:
        """The value of a request; `None` if it was not made yet or is gone."""
        return self._values.get(request_id)

    def put(self, request_id: str, value: Value) -> Value:
        """Set the value of a request, and return it."""
        request = current_request()
        if request is None:
            self._kept[request_id] = value
        else:
            request.values.append(value)
        self._values[request_id] = value
        return value

    def drop(self, request_id: str) -> None:
        """Drop the value of a request, ended or not."""
        self._kept.pop(request_id, None)
        self._values.pop(request_id, None)

    def request_ids(self) -> list[str]:
        """The requests that have a value."""
        return list(self._values)

    def release(self, request_id: str) -> None:
        """Free the value of a request that has ended, if it was made outside of a handler."""
        self._kept.pop(request_id, None)
