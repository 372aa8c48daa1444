"""Messages in Anthropic's shape as those that chat templates and mods know."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from concordance_shared import FunctionCall, InvalidRequestError, Message, ToolCall
from msgspec import UNSET, Raw, Struct, UnsetType

from concordance_inference.server.anthropic.blocks import decode_blocks
from concordance_inference.server.anthropic.schemas import Block, MessageParam, ToolParam
from concordance_inference.server.openai.chat_request import check_arguments
from concordance_inference.server.responses.encrypted_content import decoded_reasoning
from concordance_inference.server.transport.body import decode_body

#: Between blocks of text that are not the model's.
_SEPARATOR = "\n\n"

#: Claude Code begins its system prompt with a block that differs in each request, so that no two
#: prompts would share a prefix. It is not for the model.
_BILLING = "x-anthropic-billing-header:"


class GivenConversation(Struct, frozen=True, kw_only=True):
    """The conversation of a request.

    Attributes:
        messages: The messages, the system prompt first.
        tool_changes: True for tools that blocks make available, False for those that they remove.
    """

    messages: tuple[Message, ...]
    tool_changes: dict[str, bool]

    def offers(self, tool: ToolParam) -> bool:
        """True if a tool of the request is offered to the model."""
        return self.tool_changes.get(tool.name, not tool.defer_loading)

    @property
    def has_late_system(self) -> bool:
        """True if a system message follows another message, as few chat templates expect."""
        roles = [message.role for message in self.messages]
        return "system" in roles[1:]

    @property
    def without_late_system(self) -> tuple[Message, ...]:
        """The messages with those system messages as a part of the user's."""
        first, *rest = self.messages
        return tuple(_merged([first, *map(_as_user, rest)]))


def _as_user(message: Message) -> Message:
    if message.role != "system":
        return message
    return Message(role="user", content=f"<system>\n{message.text}\n</system>")


def decode_conversation(system: Raw | UnsetType, messages: Sequence[Raw]) -> GivenConversation:
    """Decode and check a system prompt and messages.

    Consecutive messages of one role become one, as in Anthropic's API. The result of a tool is a
    message of its own.

    Raises:
        InvalidRequestError: One is wrong; `param` names its field.
    """
    reader = _Reader()
    first = list(reader.system(system))
    decoded: list[Message] = []
    for i, raw in enumerate(messages):
        decoded += reader.messages(raw, f"messages[{i}]")
    if not decoded:
        raise InvalidRequestError(
            "messages: no message has a block of text; give one of the user that has",
            param="messages",
        )
    merged = tuple(_merged([*first, *decoded]))
    return GivenConversation(messages=merged, tool_changes=reader.tool_changes)


class _Reader:
    """Reads messages in order, and the changes of tools in them."""

    def __init__(self) -> None:
        self.tool_changes: dict[str, bool] = {}

    def system(self, raw: Raw | UnsetType) -> Iterator[Message]:
        """The system prompt, unless there is none."""
        if raw is UNSET or bytes(raw).strip() == b"null":
            return
        texts = [block.text or "" for block in decode_blocks(raw, "system", "system")]
        yield from _said("system", (text for text in texts if not text.startswith(_BILLING)))

    def messages(self, raw: Raw, at: str) -> Iterator[Message]:
        """The messages that one of the request becomes."""
        given = _message_param(raw, at)
        blocks = decode_blocks(given.content, given.role, f"{at}.content")
        if given.role == "assistant":
            yield _assistant(blocks, f"{at}.content")
            return
        texts: list[str] = []
        for i, block in enumerate(blocks):
            if block.type == "tool_result":
                yield from _said(given.role, texts)
                texts = []
                yield self._result(block, f"{at}.content[{i}]")
            elif block.tool is not None:
                self.tool_changes[block.tool.name] = block.type == "tool_addition"
            else:
                texts.append(block.text or "")
        yield from _said(given.role, texts)

    def _result(self, block: Block, at: str) -> Message:
        given = block.content
        blocks = [] if given is UNSET else decode_blocks(given, "tool", f"{at}.content")
        text = _SEPARATOR.join(map(self._result_text, blocks))
        if block.is_error:
            text = f"Error: {text}"
        return Message(role="tool", content=text, tool_call_id=block.tool_use_id)

    def _result_text(self, block: Block) -> str:
        """The text of a block; one that names a tool makes it available."""
        if block.tool_name is None:
            return block.text or ""
        self.tool_changes[block.tool_name] = True
        return f"The tool {block.tool_name} is available now."


def _message_param(raw: Raw, at: str) -> MessageParam:
    """A message of the request; the roles are not those of OpenAI's API."""
    try:
        return decode_body(raw, MessageParam, at=at)
    except InvalidRequestError as exc:
        if exc.param != f"{at}.role":
            raise
        raise InvalidRequestError(
            f"{at}.role is none of user, assistant and system; give the result of a tool as a "
            "block of type tool_result in a message of the user",
            param=exc.param,
        ) from exc


def _said(role: str, texts: Iterable[str]) -> Iterator[Message]:
    """A message of texts, if there are any."""
    if given := list(texts):
        is_system = role == "system"
        yield Message(role="system" if is_system else "user", content=_SEPARATOR.join(given))


def _assistant(blocks: Sequence[Block], at: str) -> Message:
    thoughts = [_thought(block) for block in blocks if block.type == "thinking"]
    texts = [block for block in blocks if block.type == "text"]
    calls = [
        _call(block, f"{at}[{i}].input")
        for i, block in enumerate(blocks)
        if block.type == "tool_use"
    ]
    return Message(
        role="assistant",
        content="".join(block.text or "" for block in texts),
        tool_calls=tuple(calls) or None,
        reasoning_content="".join(thoughts) or None,
    )


def _thought(block: Block) -> str:
    """The text of a block of thinking; that of an omitted one is in its signature."""
    if block.thinking or not block.signature:
        return block.thinking or ""
    try:
        return decoded_reasoning(block.signature)
    except ValueError:  # of another server
        return ""


def _call(block: Block, at: str) -> ToolCall:
    arguments = b"{}" if block.input is UNSET else bytes(block.input).strip()
    if not arguments.startswith(b"{"):
        raise InvalidRequestError(f"{at} is not an object", param=at)
    check_arguments(arguments.decode(), at)
    name = block.name or ""
    return ToolCall(id=block.id or "", function=FunctionCall(name, arguments.decode()))


def _merged(messages: Sequence[Message]) -> Iterator[Message]:
    """The messages, consecutive ones of a user or of the assistant as one."""
    last: Message | None = None
    for message in messages:
        if last and last.role == message.role and message.role in ("user", "assistant"):
            last = _joined(last, message)
            continue
        if last:
            yield last
        last = message
    if last:
        yield last


def _joined(first: Message, second: Message) -> Message:
    separator = _SEPARATOR if first.role == "user" else ""
    reasoning = (first.reasoning_content or "") + (second.reasoning_content or "")
    return msgspec.structs.replace(
        first,
        content=separator.join(filter(None, (first.text, second.text))),
        tool_calls=(*(first.tool_calls or ()), *(second.tool_calls or ())) or None,
        reasoning_content=reasoning or None,
    )
