"""Messages as chat templates expect them: plain dictionaries, in each form that templates know.

Templates differ in what they take of tool calls: arguments as an object or as text, ids of any
form or of nine letters and digits (Mistral's).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from concordance_shared import Message

Messages = list[dict[str, Any]]

#: The ids of tool calls that every template takes.
_SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")


def forms_of(messages: Sequence[Message]) -> Iterator[Messages]:
    """The messages in each form to try, until a template takes one.

    A call without an id gets one, and a result without one gets that of the call it answers.
    """
    plain = [_plain(message) for message in messages]
    calls = [call for message in plain for call in message.get("tool_calls") or ()]
    _fill_ids(plain)
    yield _with_objects(plain)
    if not calls:
        return
    yield plain
    ids = [call["id"] for call in calls]
    if all(map(_SHORT_ID.fullmatch, ids)):
        return
    short = _with_short_ids(plain)
    yield _with_objects(short)
    yield short


def prints_objects(text: str, messages: Messages) -> bool:
    """True if a template printed the arguments of a call as Python prints a dictionary."""
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    values = [call["function"]["arguments"] for call in calls]
    return any(isinstance(value, dict) and value and str(value) in text for value in values)  # pyright: ignore[reportUnknownArgumentType]


def _plain(message: Message) -> dict[str, Any]:
    """A message with one string as content, and the arguments of calls as text."""
    fields: dict[str, Any] = msgspec.to_builtins(message)
    fields["content"] = message.text
    if message.role == "developer":
        fields["role"] = "system"
    for call in fields.get("tool_calls") or ():
        function = call["function"]
        function["arguments"] = function["arguments"].strip() or "{}"
    return fields


def _with_objects(messages: Messages) -> Messages:
    """The messages with arguments as the objects that most templates expect."""
    return [_with_calls(message, _with_object) for message in messages]


def _with_calls(message: dict[str, Any], change: Any) -> dict[str, Any]:
    calls = message.get("tool_calls")
    return {**message, "tool_calls": [change(call) for call in calls]} if calls else message


def _with_object(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": _object(function["arguments"])}}


def _object(text: str) -> Any:
    """A tool call's arguments as an object; text if they are none."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
    return value if isinstance(value, dict) else text  # pyright: ignore[reportUnknownVariableType]


def _fill_ids(messages: Messages) -> None:
    """Give ids to calls that lack them, and to results those of the calls they answer."""
    num_calls = 0
    waiting: dict[str, None] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            call["id"] = call["id"] or f"call{num_calls:05d}"
            num_calls += 1
            waiting[call["id"]] = None
        if message["role"] == "tool":
            answered = message.setdefault("tool_call_id", next(iter(waiting), ""))
            waiting.pop(answered, None)


def _with_short_ids(messages: Messages) -> Messages:
    """The messages with ids of nine letters and digits."""
    ids = [call["id"] for message in messages for call in message.get("tool_calls") or ()]
    short = {name: f"call{i:05d}" for i, name in enumerate(dict.fromkeys(ids))}
    changed = [
        _with_calls(message, lambda call: {**call, "id": short[call["id"]]}) for message in messages
    ]
    return [
        {**message, "tool_call_id": short.get(message["tool_call_id"], message["tool_call_id"])}
        if "tool_call_id" in message
        else message
        for message in changed
    ]
