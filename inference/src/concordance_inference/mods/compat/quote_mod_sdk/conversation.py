"""The conversation in `quote_mod_sdk`: dictionaries in the format of OpenAI's chat API."""

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

#: Number of requests whose overrides are kept.
_MAX_SET = 256


@contextmanager
def request_of(request_id: str) -> Generator[None]:
    """Make a request the current one inside the block."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def push_request_context(request_id: str | None) -> Token[str | None] | None:
    """Make a request the current one; pass the result to `pop_request_context` to undo it."""
    return None if request_id is None else _request_id.set(request_id)


def pop_request_context(token: Token[str | None] | None) -> None:
    """Undo `push_request_context`."""
    if token is not None:
        _request_id.reset(token)


def get_conversation(request_id: str | None = None) -> list[dict[str, Any]]:
    """Return the messages of the current request, oldest first; empty outside of a mod.

    Raises:
        PermissionError: `request_id` is another request.
    """
    current = _readable(request_id)
    if current is None:
        return []
    if (messages := _messages.get(current)) is not None:
        return messages
    try:
        return [_plain(message) for message in concordance_sdk.get_conversation()]
    except RuntimeError:  # a context from `push_request_context`
        return []


def get_schemas(request_id: str | None = None) -> list[dict[str, Any]]:
    """Return the JSON Schema of the response format, if there is one, followed by the tools.

    Raises:
        PermissionError: `request_id` is another request.
    """
    current = _readable(request_id)
    if current is None:
        return []
    if (override := _schemas.get(current)) is not None:
        return override
    try:
        schemas = concordance_sdk.get_schemas()
    except RuntimeError:  # a context from `push_request_context`
        return []
    response_format = schemas.response_format
    named = response_format.json_schema if response_format else None
    schema = named.schema if named else None
    found = schema or (msgspec.to_builtins(response_format) if response_format else None)
    return [each for each in (found, *map(msgspec.to_builtins, schemas.tools)) if each]


def set_conversation(request_id: str, messages: Sequence[Mapping[str, Any]]) -> None:
    """Override a request's conversation, for mods of `quote_mod_sdk`."""
    _messages.put(request_id, messages)


def clear_conversation(request_id: str) -> None:
    """Remove the override of a request's conversation."""
    _messages.drop(request_id)


def set_schemas(request_id: str, schemas: Sequence[Mapping[str, Any]]) -> None:
    """Override a request's schemas, for mods of `quote_mod_sdk`."""
    _schemas.put(request_id, schemas)


def tool_call_pairs(messages: Sequence[Mapping[str, Any]] | None = None) -> list[Pair]:
    """Return the tool calls of a conversation, each with the text of its result, or `None`.

    A result belongs to the last call before it with the same id. Results that are not text are
    encoded as JSON.
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


class _Overrides:
    """Values that mods have set for requests; the oldest are evicted."""

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


_messages = _Overrides()
_schemas = _Overrides()


def _require_mine(request_id: object) -> None:
    """Reject changes to the conversation of another request."""
    if not isinstance(request_id, str):
        raise TypeError("request_id must be a string")
    if _request_id.get() not in (None, request_id):
        raise PermissionError("another request's conversation cannot be changed")


def _readable(request_id: str | None) -> str | None:
    """Return the current request, if there is one.

    Raises:
        PermissionError: `request_id` is another request.
    """
    current = _request_id.get()
    if request_id is not None and request_id != current:
        raise PermissionError("another request's conversation cannot be read")
    return current


def _plain(message: Message) -> dict[str, Any]:
    """Convert a message to mutable dictionaries and lists, always with `content`."""
    return {"content": None, **msgspec.json.decode(msgspec.json.encode(message))}


def _text(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        fragments = [_fragment(part) for part in cast(Sequence[Any], content)]
        texts = [fragment for fragment in fragments if fragment is not None]
        return "".join(texts) if texts else None
    try:
        return json.dumps(content)
    except TypeError:
        return str(content)


def _fragment(part: Any) -> str | None:
    """Return the text of a part of a message's content, if it has one."""
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping):
        texts = (cast(Mapping[str, Any], part).get(name) for name in ("text", "content"))
        return next((text for text in texts if isinstance(text, str)), None)
    return None
