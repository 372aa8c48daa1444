"""What a flow knows of one request."""

from typing import Any, Protocol

from msgspec import Struct


class FlowState(Protocol):
    """What a flow needs of a state: one of the author's own has at least these.

    Attributes:
        request_id: Names the request.
        answers: By the name of a question: its answer.

    Examples:
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
    answers: dict[str, str]


class DefaultState(Struct):
    """The state of a request whose flow names none of its own.

    Attributes:
        request_id: Names the request.
        answers: By the name of a question: its answer.
        values: By the name of a question: what its answer means.
        data: Whatever the author keeps.

    Examples:
        >>> state = DefaultState("r1")
        >>> state.data["seats"] = 2
        >>> state.answers
        {}
    """

    request_id: str
    answers: dict[str, str] = {}
    values: dict[str, Any] = {}
    data: dict[str, Any] = {}
