"""Commands of live control in a trace: as plain data, and back."""

from collections.abc import Callable
from typing import Any

import msgspec
from concordance_shared import AdjustedLogits, Backtrack, EmitError, ForceOutput, ForceTokens
from msgspec import Struct

from concordance_inference.control import (
    Act,
    Adjust,
    AttachCall,
    AttachMod,
    Command,
    DetachMod,
    End,
    Moment,
    Scheduled,
)
from concordance_inference.generation import ModCall
from concordance_inference.traces.plain import plain
from concordance_inference.traces.schema import TraceEvent


class _Attached(Struct, kw_only=True):
    """The mod of an `AttachMod`."""

    name: str
    version: str = ""
    parameters: dict[str, Any] = {}
    replaces: str | None = None


class EncodedCommand(Struct, kw_only=True, omit_defaults=True):
    """A command as a trace has it: one of the fields is set."""

    act: ForceTokens | Backtrack | ForceOutput | EmitError | None = None
    end: bool = False
    adjust: AdjustedLogits | None = None
    num_steps: int = 1
    attach: _Attached | None = None
    detach: str | None = None


def encoded(command: Command | None) -> dict[str, Any] | None:
    """Return a command as plain data; `None` for one that changes no token, such as a pause."""
    found = _encoded(command)
    if found is None:
        return None
    data = plain(found)
    return data if isinstance(data, dict) else None


def _encoded(command: Command | None) -> EncodedCommand | None:
    match command:
        case Act(action=action):
            return EncodedCommand(act=action)
        case End():
            return EncodedCommand(end=True)
        case Adjust(action=action, num_steps=num_steps):
            return EncodedCommand(adjust=action, num_steps=num_steps)
        case AttachMod(call=ModCall() as call, replaces=replaces):
            attached = _Attached(
                name=call.name,
                version=call.version,
                parameters={name: plain(value) for name, value in call.parameters.items()},
                replaces=replaces,
            )
            return EncodedCommand(attach=attached)
        case DetachMod(name=name):
            return EncodedCommand(detach=name)
        case _:
            return None


def scheduled(
    event: TraceEvent, call_of: Callable[[str, str, dict[str, Any]], ModCall]
) -> Scheduled | None:
    """Return the command of an event; `None` if it has none that changes a token.

    Args:
        event: The event.
        call_of: Returns the call of a mod, by its name, its version and its parameters.

    Raises:
        msgspec.ValidationError: The trace's data is no command.
    """
    if event.command is None:
        return None
    data = msgspec.convert(event.command, EncodedCommand, str_keys=True)
    at = Moment(event.draws, event.position, event.removed)
    command: Act | End | Adjust | DetachMod | AttachCall
    if data.act is not None:
        command = Act(action=data.act)
    elif data.adjust is not None:
        command = Adjust(action=data.adjust, num_steps=data.num_steps)
    elif data.attach is not None:
        attached = data.attach
        call = call_of(attached.name, attached.version, attached.parameters)
        command = AttachCall(call=call, replaces=attached.replaces)
    elif data.detach is not None:
        command = DetachMod(data.detach)
    else:
        command = End()
    return Scheduled(at=at, command=command)
