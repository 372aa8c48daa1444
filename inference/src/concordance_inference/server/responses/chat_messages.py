"""The messages that items are for a chat template.

A turn of the assistant is one message: reasoning, content and calls that follow each other, as in
`/v1/chat/completions`. Two messages in succession remain two. A call that was cut is left out.
"""

from collections.abc import Sequence

from concordance_shared import ContentPart, FunctionCall, Message, ToolCall

from concordance_inference.server.responses.items import (
    FunctionCallItem,
    FunctionOutputItem,
    Item,
    MessageItem,
    ReasoningItem,
)


class _Turn:
    """A message of the assistant, item by item."""

    def __init__(self) -> None:
        self.ends_with_message = False
        self._reasoning: list[str] = []
        self._content: list[str] = []
        self._calls: list[ToolCall] = []

    def add(self, item: MessageItem | ReasoningItem | FunctionCallItem) -> None:
        """Append an item."""
        self.ends_with_message = isinstance(item, MessageItem)
        match item:
            case MessageItem():
                self._content += item.texts
            case ReasoningItem():
                self._reasoning.append(item.text)
            case FunctionCallItem():
                function = FunctionCall(name=item.name, arguments=item.arguments)
                self._calls.append(ToolCall(id=item.call_id, function=function))

    def message(self) -> Message:
        """The message."""
        return Message(
            role="assistant",
            content="".join(self._content) if self._content or not self._calls else None,
            reasoning_content="".join(self._reasoning) or None,
            tool_calls=tuple(self._calls) or None,
        )


def messages_of(items: Sequence[Item], instructions: str | None = None) -> tuple[Message, ...]:
    """Return the messages of a conversation.

    Args:
        items: The conversation.
        instructions: The text of a system message before it.

    Examples:
        >>> call = FunctionCallItem(id="fc_1", call_id="call_1", name="now", arguments="{}")
        >>> [message] = messages_of([ReasoningItem(id="rs_1"), call])
        >>> message.role, message.tool_calls[0].function.name
        ('assistant', 'now')
    """
    messages: list[Message] = []
    turn: _Turn | None = None
    if instructions:
        messages.append(Message(role="system", content=instructions))
    for item in items:
        if isinstance(item, FunctionCallItem) and item.status == "incomplete":
            continue
        is_message = isinstance(item, MessageItem)
        is_turns = item.role == "assistant" if is_message else not _is_output(item)
        if turn is not None and (not is_turns or (is_message and turn.ends_with_message)):
            messages.append(turn.message())
            turn = None
        if isinstance(item, FunctionOutputItem):
            content = _content(item.texts)
            messages.append(Message(role="tool", content=content, tool_call_id=item.call_id))
        elif isinstance(item, MessageItem) and not is_turns:
            messages.append(Message(role=item.role, content=_content(item.texts)))
        else:
            turn = turn or _Turn()
            turn.add(item)
    return (*messages, turn.message()) if turn is not None else tuple(messages)


def _is_output(item: Item) -> bool:
    return isinstance(item, FunctionOutputItem)


def _content(texts: Sequence[str]) -> str | tuple[ContentPart, ...]:
    """One text as it is, others as parts."""
    if len(texts) == 1:
        return texts[0]
    return tuple(ContentPart(type="text", text=text) for text in texts)
