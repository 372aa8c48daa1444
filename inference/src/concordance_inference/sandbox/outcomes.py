"""What a lease returns: a mod is ready, has answered, reads logits, or has failed."""

from collections.abc import Sequence
from typing import Any, Literal

from concordance_sdk.declared_logits import LogitsNeed
from concordance_shared import Action, ConcordanceError, Event, Report
from msgspec import Struct

ReadKind = Literal["top_k", "row", "logprobs", "entropy", "margin", "logprob"]


class SentLogits(Struct, frozen=True, eq=False):
    """What an event has of the logits.

    Attributes:
        width: Length of a row.
        top: The top logits in descending order, of the number that the instance declares.
        row: The whole row, if it declares `"full"`.  (width,) float32
    """

    width: int
    top: Sequence[tuple[int, float]] | None = None
    row: bytes | memoryview | None = None


class Ask(Struct, frozen=True, eq=False):
    """An event for an instance of the mod.

    Attributes:
        instance: Its index in `WorkerInfo.instances`.
        event: The event.
        logits: Those of a `ForwardPass`.
    """

    instance: int
    event: Event
    logits: SentLogits | None = None


class InstanceInfo(Struct, frozen=True):
    """An instance of a mod: the mod itself, a part of it, or a mod that it contains.

    Attributes:
        name: Its name, for messages.
        events: The events that it handles.
        logits: The logits that it declares to read; `None` if it declares nothing.
    """

    name: str
    events: frozenset[type[Event]]
    logits: LogitsNeed | None


class WorkerInfo(Struct, frozen=True):
    """A loaded mod.

    Attributes:
        max_backtrack: Tokens that a stream holds back for it; `None` for the whole completion.
        instances: All that events are dispatched to, in order.
    """

    max_backtrack: int | None
    instances: tuple[InstanceInfo, ...]


class Ready(Struct, frozen=True):
    """The mod is loaded and prepared."""

    info: WorkerInfo


class Described(Struct, frozen=True):
    """The mod is loaded, and described.

    Attributes:
        description: JSON for clients.
        declares_max_backtrack: True if the mod declares how much it may backtrack.
        events: The names of the events that it handles.
    """

    description: bytes
    declares_max_backtrack: bool
    events: tuple[str, ...]


class Result(Struct, frozen=True, eq=False):
    """What a handler returned.

    Attributes:
        action: Of the right type, not yet compared with event and vocabulary; `None` for a `Noop`.
        reports: The reports beside it, in order.
    """

    action: Action | None
    reports: tuple[Report, ...] = ()


class Answered(Struct, frozen=True, eq=False):
    """The results of the events that were handled.

    Attributes:
        results: In order. All but the last have no action.
        micros: Time in the mod's code, as the worker reports it.
    """

    results: tuple[Result, ...]
    micros: int


class ReadRequested(Struct, frozen=True):
    """A handler reads logits that were not sent along.

    Attributes:
        ask: The index of the event that it handles, among those that were sent.
        kind: What it reads.
        k: For `top_k` and `margin`.
        token_ids: For `logprobs`; not yet compared with the vocabulary.
    """

    ask: int
    kind: ReadKind
    k: int = 0
    token_ids: tuple[int, ...] = ()


class LeaseFailed(Struct, frozen=True, eq=False):
    """The mod, or its worker, has failed.

    Attributes:
        error: For the requester.
        traceback: The mod's own frames; empty if none are known.
        results: Of the events that were handled before the one that failed.
        can_finish: True if the worker is alive: it may be sent one `Finished`.
    """

    error: ConcordanceError
    traceback: str = ""
    results: tuple[Result, ...] = ()
    can_finish: bool = False


Outcome = Ready | Described | Answered | ReadRequested | LeaseFailed

#: A value that a handler reads: pairs, a row, numbers, a number.
ReadValue = Sequence[tuple[int, float]] | Sequence[float] | float | bytes | memoryview | Any
