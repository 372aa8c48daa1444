"""The conversation as older mods read it: dictionaries, in the shape of OpenAI's chat API."""

import copy
import json
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, cast

import concordance_sdk
import msgspec
from concordance_shared import Message

_request_id: ContextVar[str | None] = ContextVar("concordance_older_request", default=None)

Pair = tuple[dict[str, Any], str | None]

#: Of how many requests what was set by hand is kept.
_MAX_SET = 256


@contextmanager
def request_of(request_id: str) -> Generator[None]:
    """Make a request the current one for the calls inside."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def push_request_context(request_id: str | None) -> Token[str | None] | None:
    """Make a request the current one, until `pop_request_context` is given what this returns."""
    return None if request_id is None else _request_id.set(request_id)


def pop_request_context(token: Token[str | None] | None) -> None:
    """Make the request current that was so before."""
    if token is not None:
        _request_id.reset(token)


def get_conversation(request_id: str | None = None) -> list[dict[str, Any]]:
    """The messages of the current request, oldest first; none outside of a mod.

    Raises:
        PermissionError: They are asked of another request.
    """
    current = _readable(request_id)
    if current is None:
        return []
    if (messages := _messages.get(current)) is not None:
        return messages
    try:
        return [_plain(message) for message in concordance_sdk.get_conversation()]
    except RuntimeError:  # a context that was pushed by hand
        return []


def get_schemas(request_id: str | None = None) -> list[dict[str, Any]]:
    """The JSON Schema of the response format, if there is one, and then the tools.

    Raises:
        PermissionError: They are asked of another request.
    """
    current = _readable(request_id)
    if current is None:
        return []
    if (set_by_hand := _schemas.get(current)) is not None:
        return set_by_hand
    try:
        schemas = concordance_sdk.get_schemas()
    except RuntimeError:  # a context that was pushed by hand
        return []
    response_format = schemas.response_format
    said = response_format.json_schema if response_format else None
    schema = said.schema if said else None
    found = schema or (msgspec.to_builtins(response_format) if response_format else None)
    return [each for each in (found, *map(msgspec.to_builtins, schemas.tools)) if each]


def set_conversation(request_id: str, messages: Sequence[Mapping[str, Any]]) -> None:
    """Let a request's conversation be these messages, for older mods."""
    _messages.put(request_id, messages)


def clear_conversation(request_id: str) -> None:
    """Let a request's conversation be what its client sent."""
    _messages.drop(request_id)


def set_schemas(request_id: str, schemas: Sequence[Mapping[str, Any]]) -> None:
    """Let a request's schemas be these, for older mods."""
    _schemas.put(request_id, schemas)


def tool_call_pairs(messages: Sequence[Mapping[str, Any]] | None = None) -> list[Pair]:
    """The tool calls of a conversation, each with the text that answered it, or `None`.

    An answer belongs to the last call before it that has its id. What is no text is told as JSON.
    """
    pairs: list[Pair] = []
    last_of: dict[str, int] = {}
    for message in get_conversation() if messages is None else messages:
        if message.get("role") == "assistant":
            for call in message.get("tool_calls") or ():
                if isinstance(call, Mapping) and isinstance(call.get("id"), str):
                    last_of[call["id"]] = len(pairs)
                    pairs.append((copy.deepcopy(dict(cast(Any, call))), None))
        elif message.get("role") == "tool" and message.get("tool_call_id") in last_of:
            at = last_of[message["tool_call_id"]]
            pairs[at] = (pairs[at][0], _text(message.get("content")))
    return pairs


class _SetByHand:
    """What was set for a request by hand; of the last ones."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()

    def get(self, request_id: str) -> list[dict[str, Any]] | None:
        return copy.deepcopy(self._values.get(request_id))

    def put(self, request_id: str, values: Sequence[Mapping[str, Any]]) -> None:
        _require_mine(request_id)
        self._values[request_id] = copy.deepcopy([dict(value) for value in values])
        self._values.move_to_end(request_id)
        while len(self._values) > _MAX_SET:
            self._values.popitem(last=False)

    def drop(self, request_id: str) -> None:
        _require_mine(request_id)
        self._values.pop(request_id, None)


_messages = _SetByHand()
_schemas = _SetByHand()


def _require_mine(request_id: object) -> None:
    """Refuse that a mod changes what another request's mods read."""
    if not isinstance(request_id, str):
        raise TypeError("request_id must be a string")
    if _request_id.get() not in (None, request_id):
        raise PermissionError("another request's conversation cannot be changed")


def _readable(request_id: str | None) -> str | None:
    """The current request, if there is one.

    Raises:
        PermissionError: Another one is meant.
    """
    current = _request_id.get()
    if request_id is not None and request_id != current:
        raise PermissionError("another request's conversation cannot be read")
    return current


def _plain(message: Message) -> dict[str, Any]:
    """A message as dictionaries and lists that can be changed; `content` is always there."""
    return {"content": None, **msgspec.json.decode(msgspec.json.encode(message))}


def _text(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        fragments = [_fragment(part) for part in cast(Sequence[Any], content)]
        told = "".join(fragment for fragment in fragments if fragment is not None)
        return told if fragments and any(f is not None for f in fragments) else None
    try:
        return json.dumps(content)
    except TypeError:
        return str(content)


def _fragment(part: Any) -> str | None:
    """The text of a part of a message's content."""
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping):
        texts = (cast(Mapping[str, Any], part).get(name) for name in ("text", "content"))
        return next((text for text in texts if isinstance(text, str)), None)
    return None
