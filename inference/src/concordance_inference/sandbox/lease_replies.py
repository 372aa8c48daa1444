"""Messages of a worker, as outcomes of its lease."""

from collections.abc import Sequence
from typing import Any

import msgspec
from concordance_shared import EVENTS, Report

from concordance_inference.sandbox.memory import SharedMemory
from concordance_inference.sandbox.outcomes import (
    Described,
    InstanceInfo,
    ReadRequested,
    Result,
    WorkerInfo,
)
from concordance_inference.sandbox.protocol import replies
from concordance_inference.sandbox.protocol.actions import received, unpacked
from concordance_inference.sandbox.stream import ViolationError

_EVENTS = {event.__name__: event for event in EVENTS}

_REPORT = msgspec.json.Decoder(dict[str, Any])
_DESCRIPTION = msgspec.json.Decoder(dict[str, Any])


def info_of(ready: replies.SentReady) -> WorkerInfo:
    """Return what a loaded mod is.

    Raises:
        ViolationError: It names an event that does not exist.
    """
    try:
        instances = tuple(
            InstanceInfo(each.name, frozenset(_EVENTS[name] for name in each.events), each.logits)
            for each in ready.instances
        )
    except KeyError:
        raise ViolationError("named an event that does not exist") from None
    return WorkerInfo(ready.max_backtrack, instances)


def described(reply: replies.SentDescription) -> Described:
    """Return the description of a mod.

    Raises:
        ViolationError: It is not a JSON object.
    """
    try:
        fields = _DESCRIPTION.decode(reply.description)
        events = tuple(str(name) for name in fields["events"])
    except Exception:
        raise ViolationError("sent a description that is no JSON object") from None
    return Described(reply.description, reply.declares_max_backtrack, events)


def results_of(
    sent: Sequence[replies.SentResult], num_asks: int, memory: SharedMemory, row_bytes: int
) -> tuple[Result, ...]:
    """Return the results of events.

    Args:
        sent: As the worker sent them.
        num_asks: Number of events that it was sent.
        memory: Its memory.
        row_bytes: The size of a row of the model's logits.

    Raises:
        ViolationError: There are too many, an action is followed by others, or one cannot be read.
    """
    if len(sent) > num_asks or any(each.action is not None for each in sent[:-1]):
        raise ViolationError("sent results that do not match the events")

    def read_row(index: int) -> bytes:
        return memory.copy(memory.layout.out_row(index), row_bytes)

    try:
        return tuple(
            Result(received(each.action, read_row), tuple(map(_report, each.reports)))
            for each in sent
        )
    except Exception as exc:
        what = f"sent an action that cannot be read ({type(exc).__name__})"
        raise ViolationError(what) from None


def _report(data: bytes) -> Report:
    return Report(_REPORT.decode(data))


def read_requested(reply: replies.SentRead, num_asks: int) -> ReadRequested:
    """Return what a handler reads.

    Raises:
        ViolationError: It names an event that was not sent, or its token ids cannot be read.
    """
    if reply.ask >= num_asks:
        raise ViolationError("reads logits of an event that it was not sent")
    try:
        token_ids = unpacked(reply.tokens)
    except ValueError:
        raise ViolationError("sent token ids that cannot be read") from None
    return ReadRequested(reply.ask, reply.kind, reply.k, token_ids)
