"""What a flow knows of one request."""

from typing import Any, Protocol

from msgspec import Struct


class FlowState(Protocol):
    """What a flow needs of a state: one of the author's own has at least these.

    Example:
        >>> from dataclasses import dataclass, field
        >>> from typing import Any
        >>> @dataclass
        ... class Booking:
        ...     request_id: str
        ...     answers: dict[str, str] = field(default_factory=dict)
        ...     seats: int = 0
        >>> state: FlowState = Booking("r1")
    """

    request_id: str
    answers: dict[str, str]  # question's name -> answer


class RequestState(Struct):
    """The state of a request whose flow names none of its own.

    Example:
        >>> state = RequestState("r1")
        >>> state.data["seats"] = 2
        >>> state.answers
        {}
    """

    request_id: str
    answers: dict[str, str] = {}  # question's name -> answer
    values: dict[str, Any] = {}  # question's name -> what its answer means
    data: dict[str, Any] = {}  # whatever the author keeps
