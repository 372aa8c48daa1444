"""Sets the fields of a trace that are known when its request ends."""

from collections.abc import Mapping, Sequence
from typing import Any

from concordance_sdk.host.action_log import ModAction
from msgspec.structs import replace

from concordance_inference.traces.schema import Trace, TraceEvent, TraceMod

#: Fields of a trace that the engine's facts have by the same name.
_SAME = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "forced_tokens",
    "backtracked_tokens",
    "finish_reason",
    "error",
    "seed",
)


def set_end(trace: Trace, facts: Mapping[str, Any]) -> None:
    """Set the fields that are known at the end.

    Args:
        trace: The trace.
        facts: As `engine.request.row_trace` gives them.
    """
    for name in _SAME:
        setattr(trace, name, facts[name])
    token_ids, begin = facts["token_ids"], facts["prompt_tokens"]
    trace.completion_ids = token_ids[begin : begin + trace.completion_tokens]
    if trace.prompt_ids is not None:
        trace.prompt_ids = token_ids[:begin]
    trace.status = "ended" if trace.error is None else "failed"
    _set_usage(trace, facts["usage"])
    if trace.level == "requests":
        since_ns = int(trace.created * 1e9)
        trace.events = _merged(trace.events, _events_of(facts["actions"], since_ns))


def _merged(commands: Sequence[TraceEvent], actions: Sequence[TraceEvent]) -> list[TraceEvent]:
    """Return commands and actions in order of time."""
    merged = sorted((*commands, *actions), key=lambda event: event.at_ms)
    return [replace(event, index=i) for i, event in enumerate(merged)]


def _set_usage(trace: Trace, usages: Sequence[Any]) -> None:
    """Add what each mod did; mods that a command added are appended."""
    by_name = {mod.name: mod for mod in trace.mods}
    for usage in usages:
        mod = by_name.get(usage.mod)
        if mod is None:
            mod = by_name[usage.mod] = TraceMod(name=usage.mod)
            trace.mods.append(mod)
        for name in ("calls", "forced_tokens", "backtracked_tokens", "adjusted_steps"):
            setattr(mod, name, getattr(usage, name))
        mod.microseconds = usage.microseconds


def _events_of(actions: Sequence[ModAction], since_ns: int) -> list[TraceEvent]:
    """Return the actions of the request's log as events: the first ones, without their details."""
    return [
        TraceEvent(
            index=i,
            mod=action.mod,
            event=action.event,
            action=action.action,
            position=action.step,
            forced_tokens=action.forced_tokens,
            backtracked_tokens=action.backtracked_tokens,
            at_ms=max(0.0, (action.at_ns - since_ns) / 1e6),
        )
        for i, action in enumerate(actions)
    ]
