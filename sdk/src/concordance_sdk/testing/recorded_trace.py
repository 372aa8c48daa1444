"""The fields of a trace that the replay of its mods reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from concordance_shared import Conversation
from msgspec import Struct


class RecordedAlternative(Struct, kw_only=True):
    """One of the most probable tokens of a position."""

    token_id: int
    text: str = ""
    logprob: float | None = None


class RecordedToken(Struct, kw_only=True):
    """A token that is, or was, part of the completion, or was sampled and replaced."""

    index: int
    position: int
    token_id: int
    text: str = ""
    origin: str = "sampled"
    status: str = "kept"
    mod: str | None = None
    event: int | None = None
    logprob: float | None = None
    entropy: float | None = None
    alternatives: list[RecordedAlternative] = []


class RecordedEvent(Struct, kw_only=True):
    """A call of a mod that acted, logged or failed; or a command."""

    index: int
    mod: str
    event: str
    action: str = ""
    position: int = 0
    draws: int = 0
    removed: int = 0
    details: dict[str, Any] = {}
    by_hand: bool = False
    command: dict[str, Any] | None = None
    error: str | None = None


class RecordedMod(Struct, kw_only=True):
    """A mod of the request."""

    name: str
    parameters: dict[str, Any] = {}


class RecordedLimits(Struct, kw_only=True):
    """Values of `RecordedTrace.limits`."""

    max_tokens: int
    vocab_size: int
    context_length: int
    end_ids: list[int]
    forced_end_ids: list[int]


class RecordedDetails(Struct, kw_only=True):
    """Values of `RecordedEvent.details` that a replay reads."""

    n: int = 0
    token_ids: list[int] | None = None
    num_tokens: int = 0
    max_steps: int | None = None


class RecordedTrace(Struct, kw_only=True):
    """A trace; `docs/traces.md` describes the fields."""

    id: str
    level: str = "tokens"
    status: str = "ended"
    is_truncated: bool = False
    finish_reason: str | None = None
    prompt: str | None = None
    prompt_ids: list[int] | None = None
    given_prompt_ids: list[int] | None = None
    source: dict[str, Any] | None = None
    limits: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    mods: list[RecordedMod] = []
    completion_ids: list[int] = []
    tokens: list[RecordedToken] = []
    events: list[RecordedEvent] = []


def recorded_trace(trace: Any) -> RecordedTrace:
    """Read a trace.

    Args:
        trace: A file with one trace as JSON, as `concordance traces show --json` and
            `traces export` write it; or the trace as a mapping or an object.

    Raises:
        ValueError: It is no trace, or lacks what a replay needs; the message names it.
    """
    data = trace
    if isinstance(trace, str | Path):
        data = msgspec.json.decode(Path(trace).read_bytes())
    elif not isinstance(trace, Mapping):
        data = msgspec.to_builtins(trace, str_keys=True)
    found = msgspec.convert(data, RecordedTrace)
    lacks = [
        what
        for is_missing, what in (
            (found.level != "tokens", f"its tokens: its level is {found.level!r}, not 'tokens'"),
            (found.is_truncated, "its last tokens: it is truncated"),
            (found.status == "running", "its end: its request still runs"),
            (found.prompt_ids is None, "its prompt: the server keeps none (--trace-prompts)"),
            (not found.limits, "the limits of the completion: it is of an earlier version"),
        )
        if is_missing
    ]
    if lacks:
        raise ValueError(f"trace {found.id} cannot be replayed; it lacks {'; '.join(lacks)}")
    _check_values(found)
    return found


def _check_values(trace: RecordedTrace) -> None:
    """Refuse values of other types, which a file that was edited may have."""
    try:
        msgspec.convert(trace.limits, RecordedLimits)
        msgspec.convert([event.details for event in trace.events], list[RecordedDetails])
    except msgspec.ValidationError as exc:
        raise ValueError(
            f"trace {trace.id} cannot be replayed; its limits or the details of its events are "
            f"not as a server records them: {exc}"
        ) from exc


def conversation_of(trace: RecordedTrace) -> Conversation:
    """Return the conversation of a request for a chat, as far as its messages are texts."""
    source = trace.source or {}
    schemas = {name: source[name] for name in ("tools", "response_format") if source.get(name)}
    given = {"messages": source.get("messages") or [], "schemas": schemas}
    try:
        return msgspec.convert(given, Conversation)
    except msgspec.ValidationError:
        return Conversation()
