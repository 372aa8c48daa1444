"""A completion as a conversation that can be sent again."""

from typing import Any

import msgspec
from concordance_shared import Message
from msgspec.structs import replace

from concordance_inference.branching.written import WrittenCompletion
from concordance_inference.chat.message_parts import ReadMessage
from concordance_inference.chat.message_reader import read_message
from concordance_inference.chat.readers import reader_factory


def conversation_of(written: WrittenCompletion) -> dict[str, Any]:
    """Return the fields of a request that has a completion in its prompt, as of the chat API.

    `messages`, and the `tools` that the request offered; of a completion without messages, the
    token ids of `prompt`, as of the completions API.
    """
    request = written.request
    given = request.conversation
    if not given.messages:
        return {"prompt": [*request.prompt_ids, *written.completed.token_ids]}
    message = read_message(reader_factory(request)(), written.completed)
    fields: dict[str, Any] = {"messages": [*_with_reply(given.messages, message)]}
    if given.schemas.tools:
        fields["tools"] = [*given.schemas.tools]
    return msgspec.to_builtins(fields)


def _with_reply(messages: tuple[Message, ...], read: ReadMessage) -> tuple[Message, ...]:
    """The messages with the completion: as a message of its own, or the end of the last one."""
    reply = Message(
        role="assistant",
        content=read.content if read.content or not read.tool_calls else None,
        tool_calls=read.tool_calls or None,
        reasoning_content=read.reasoning or None,
    )
    last = messages[-1]
    if last.role != "assistant" or last.tool_calls:
        return (*messages, reply)
    return (*messages[:-1], replace(reply, content=last.text + reply.text))
