"""The conversation of the request that a mod is being called for.

The engine sets it around each call of a mod, so that a mod sees its own request's messages and
nobody else's, without carrying them in every event.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from concordance_shared import Conversation, Message, Schemas, ToolCall

_current: ContextVar[Conversation | None] = ContextVar("concordance_conversation", default=None)


def set_conversation(conversation: Conversation) -> None:
    """Make `conversation` the current one for all that runs in this context."""
    _current.set(conversation)


@contextmanager
def conversation_of(conversation: Conversation) -> Generator[None]:
    """Make `conversation` the current one for the calls inside."""
    token = _current.set(conversation)
    try:
        yield
    finally:
        _current.reset(token)


def get_conversation() -> tuple[Message, ...]:
    """The messages of the current request, oldest first.

    Raises:
        RuntimeError: Called outside of a mod's handler.
    """
    return _required().messages


def get_schemas() -> Schemas:
    """The tools and the response format of the current request.

    Raises:
        RuntimeError: Called outside of a mod's handler.
    """
    return _required().schemas


def tool_call_pairs(
    messages: Sequence[Message] | None = None,
) -> list[tuple[ToolCall, Message | None]]:
    """The tool calls of a conversation, each with the message that answered it, or `None`.

    Args:
        messages: The conversation; the current request's if left out.

    Raises:
        RuntimeError: Called without messages outside of a mod's handler.
    """
    messages = get_conversation() if messages is None else messages
    answers = {m.tool_call_id: m for m in messages if m.role == "tool" and m.tool_call_id}
    calls = [call for message in messages for call in message.tool_calls or ()]
    return [(call, answers.get(call.id)) for call in calls]


def _required() -> Conversation:
    conversation = _current.get()
    if conversation is None:
        raise RuntimeError(
            "there is no current request: call this inside a mod's handler, "
            "or in a test inside `conversation_of(...)`"
        )
    return conversation
