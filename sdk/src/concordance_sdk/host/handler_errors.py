"""Errors for handlers that raise, or that make an action and return none."""

import traceback
from collections.abc import Callable, Sequence
from typing import cast

from concordance_shared import (
    Action,
    Event,
    InvalidActionError,
    ModError,
    ModRaisedError,
    Noop,
    Report,
)
from concordance_shared.errors import ConcordanceError, message_of

from concordance_sdk.action_builder import method_for
from concordance_sdk.definition import place_of
from concordance_sdk.host.hints import hint_for
from concordance_sdk.host.own_frames import own_frames

#: The module that calls mods; its frames are not part of a mod's traceback.
_CALLER = "concordance_sdk.host.instance"

#: The module that raises errors whose messages have the author's line.
_HAS_PLACES = "concordance_sdk.script.messages"


def lost_report(made: Sequence[Report], returned: object) -> Report | None:
    """Return the first report that a handler made and did not return beside its other action."""
    if isinstance(returned, Noop):
        return None
    values = cast(Sequence[object], returned if isinstance(returned, list | tuple) else [returned])
    kept = {id(value) for value in values}
    return next((report for report in made if id(report) not in kept), None)


def not_returned(
    name: str,
    event: Event,
    function: Callable[..., object],
    action: Action,
    *,
    by: str | None = None,
    instead: object = None,
) -> InvalidActionError:
    """Build the error for an action that was made and not returned, but something `instead`.

    `by` is the call that made it, such as `stop()`, if it is not the action's own method.
    """
    event_name, made = type(event).__name__, type(action).__name__
    handler = getattr(function, "__qualname__", repr(function)).rpartition("<locals>.")[2]
    returned = "None" if instead is None else f"{type(instead).__name__} without it"
    write = f"actions.{by or f'{method_for(action)}(...)'}"
    if isinstance(instead, Action):
        write = f"[{write}, actions.{method_for(instead)}(...)]"
    return InvalidActionError(
        f"mod {name!r} made {made} at {event_name} (step {event.step}), but its handler "
        f"`{handler}` ({place_of(function)}) returned {returned}, so the action has no effect; "
        f"write `return {write}`, or `return actions.noop()` to drop it",
        mod=name,
        event=event_name,
        step=event.step,
    )


def raised(name: str, where: str, step: int, exc: BaseException) -> ModError:
    """Build the error for an exception of a mod's code; a `ModError` of a contained mod stays."""
    if isinstance(exc, ModError) and exc.mod is not None:
        return exc
    return ModRaisedError(
        f"mod {name!r} raised {type(exc).__name__} at {where} (step {step}): {message_of(exc)}"
        f"{_place(exc)}{hint_for(exc)}",
        mod=name,
        event=where,
        step=step,
    )


def _place(exc: BaseException) -> str:
    """The mod's innermost line of a traceback, or the innermost of all if it has none.

    Empty if it has none and the error is one of ours, whose message says what is wrong, or where.
    """
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(exc.__traceback__)
        if frame.f_globals.get("__name__") != _CALLER
    ]
    own = own_frames(frames)
    if not frames:
        return ""
    has_place = frames[-1][0].f_globals.get("__name__") == _HAS_PLACES
    if not own and (isinstance(exc, ConcordanceError) or has_place):
        return ""
    frame, line = (own or frames)[-1]
    return f" ({frame.f_code.co_filename}:{line})"
