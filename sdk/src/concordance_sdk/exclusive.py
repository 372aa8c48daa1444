"""Whose turn it is to write, where several mods write a part of the completion each.

What writes a part of its own, an answer under a constraint say, does not begin while another is
inside of its part. Those that wait are asked in the order of the mods, as at every event, so that
they have their turns in that order.
"""

from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary


class Writer(Protocol):
    """What writes a part of the completion, into which no other may write."""

    def is_writing(self, step: int) -> bool:
        """Whether a step that comes next is inside of its part, as far as it was told."""
        ...


W = TypeVar("W", bound=Writer)

#: Those of each request, for as long as one of them lives, however the request ends.
_writers: WeakValueDictionary[str, WeakSet[Writer]] = WeakValueDictionary()
_kept: WeakKeyDictionary[Writer, WeakSet[Writer]] = WeakKeyDictionary()


def others_of(writer: W, request_id: str) -> list[W]:
    """The other writers of a request that are of the same type; this one is of it from now on.

    Args:
        writer: Who asks; it lives no longer than its request.
        request_id: Names the request.
    """
    writers = _kept[writer] = _writers.setdefault(request_id, WeakSet())
    writers.add(writer)
    return [w for w in writers if w is not writer and isinstance(w, type(writer))]


def may_write(
    writer: Writer, request_id: str, step: int, *, beside: type[Writer] | None = None
) -> bool:
    """Whether a writer may begin at a step that comes next; it is one of the request's from now on.

    Nothing is taken and given back: every writer says where its part is, so that one that is taken
    back, by whichever mod, is open again.

    Args:
        writer: Who asks; it lives no longer than its request.
        request_id: Names the request.
        step: Where it would begin.
        beside: Writers of this type do not keep it from beginning.

    Examples:
        >>> class Part:
        ...     def is_writing(self, step):
        ...         return 3 <= step < 8
        >>> first, second = Part(), Part()
        >>> may_write(first, "r1", 3), may_write(second, "r1", 5), may_write(second, "r1", 8)
        (True, False, True)
    """
    writers = _kept[writer] = _writers.setdefault(request_id, WeakSet())
    writers.add(writer)
    others = [w for w in writers if w is not writer and not (beside and isinstance(w, beside))]
    return not any(other.is_writing(step) for other in others)
