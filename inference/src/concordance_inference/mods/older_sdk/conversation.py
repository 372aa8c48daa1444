"""The conversation as older mods read it: dictionaries, in the shape of OpenAI's chat API."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import concordance_sdk
import msgspec
from concordance_shared import Message

_request_id: ContextVar[str | None] = ContextVar("concordance_older_request", default=None)

Pair = tuple[dict[str, Any], str | None]


@contextmanager
def request_of(request_id: str) -> Generator[None]:
    """Make a request the current one for the calls inside."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def get_conversation(request_id: str | None = None) -> list[dict[str, Any]]:
    """The messages of the current request, oldest first; none outside of a mod.

    Raises:
        PermissionError: They are asked of another request.
    """
    if not _may_read(request_id):
        return []
    return [_plain(message) for message in concordance_sdk.get_conversation()]


def get_schemas(request_id: str | None = None) -> list[dict[str, Any]]:
    """The JSON Schema of the response format, if there is one, and then the tools.

    Raises:
        PermissionError: They are asked of another request.
    """
    if not _may_read(request_id):
        return []
    schemas = concordance_sdk.get_schemas()
    response_format = schemas.response_format
    said = response_format.json_schema if response_format else None
    schema = said.schema if said else None
    found = schema or (msgspec.to_builtins(response_format) if response_format else None)
    return [each for each in (found, *map(msgspec.to_builtins, schemas.tools)) if each]


def tool_call_pairs(messages: Sequence[Mapping[str, Any]] | None = None) -> list[Pair]:
    """The tool calls of a conversation, each with the text that answered it, or `None`."""
    messages = get_conversation() if messages is None else messages
    answers = {m.get("tool_call_id"): m for m in messages if m.get("role") == "tool"}
    calls = [call for m in messages for call in m.get("tool_calls") or ()]
    return [(dict(call), _text(answers.get(call.get("id")))) for call in calls]


def _may_read(request_id: str | None) -> bool:
    """Whether there is a current request.

    Raises:
        PermissionError: Another one is meant.
    """
    current = _request_id.get()
    if request_id is not None and request_id != current:
        raise PermissionError("another request's conversation cannot be read")
    return current is not None


def _plain(message: Message) -> dict[str, Any]:
    """A message as dictionaries and lists that can be changed; `content` is always there."""
    return {"content": None, **msgspec.json.decode(msgspec.json.encode(message))}


def _text(answer: Mapping[str, Any] | None) -> str | None:
    content = None if answer is None else answer.get("content")
    if content is None or isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content)
