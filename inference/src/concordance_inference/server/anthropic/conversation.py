"""Messages in Anthropic's shape as those that chat templates and mods know."""

from collections.abc import Iterator, Sequence

import msgspec
from concordance_shared import FunctionCall, InvalidRequestError, Message, ToolCall
from msgspec import UNSET, Raw, UnsetType

from concordance_inference.server.anthropic.schemas import Block, MessageParam
from concordance_inference.server.body import decode_body
from concordance_inference.server.chat_request import check_arguments
from concordance_inference.server.envelope import check_count
from concordance_inference.server.responses.encrypted_content import decoded_reasoning
from concordance_inference.server.schemas import MAX_PARTS

#: Between blocks of text that are not the model's.
_SEPARATOR = "\n\n"

#: Claude Code begins its system prompt with a block that differs in each request, so that no two
#: prompts would share a prefix. It is not for the model.
_BILLING = "x-anthropic-billing-header:"

#: The types of blocks that each role may have.
_TYPES = {
    "system": ("text",),
    "user": ("text", "tool_result"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use"),
    "tool": ("text",),
}


def decode_conversation(system: Raw | UnsetType, messages: Sequence[Raw]) -> tuple[Message, ...]:
    """Decode and check a system prompt and messages.

    Consecutive messages of one role become one, as in Anthropic's API. The result of a tool is a
    message of its own.

    Raises:
        InvalidRequestError: One is wrong; `param` names its field.
    """
    decoded = list(_system(system))
    for i, raw in enumerate(messages):
        decoded += _messages(raw, f"messages[{i}]")
    return tuple(_merged(decoded))


def _system(raw: Raw | UnsetType) -> Iterator[Message]:
    if raw is UNSET or bytes(raw).strip() == b"null":
        return
    blocks = _blocks(raw, "system", "system")
    texts = [block.text or "" for block in blocks]
    text = _SEPARATOR.join(text for text in texts if not text.startswith(_BILLING))
    if text:
        yield Message(role="system", content=text)


def _messages(raw: Raw, at: str) -> Iterator[Message]:
    given = decode_body(raw, MessageParam, at=at)
    blocks = _blocks(given.content, given.role, f"{at}.content")
    if given.role == "assistant":
        yield _assistant(blocks, f"{at}.content")
    elif given.role == "system":
        yield Message(role="system", content=_text(blocks))
    else:
        yield from _user(blocks, f"{at}.content")


def _blocks(raw: Raw, role: str, at: str) -> list[Block]:
    """The blocks of a content; a text is one block."""
    check_count(raw, at, MAX_PARTS)
    content = decode_body(raw, str | list[Block], at=at)
    if isinstance(content, str):
        return [Block(type="text", text=content)]
    for i, block in enumerate(content):
        _check(block, role, f"{at}[{i}]")
    return content


def _check(block: Block, role: str, at: str) -> None:
    types = _TYPES[role]
    if block.type not in types:
        raise InvalidRequestError(
            f"{at}.type: blocks of type {block.type!r:.60} are not supported here; give blocks of "
            f"type {', '.join(types)}",
            param=f"{at}.type",
        )
    for name in {
        "text": ("text",),
        "thinking": ("thinking",),
        "tool_use": ("id", "name"),
        "tool_result": ("tool_use_id",),
    }.get(block.type, ()):
        if getattr(block, name) is None:
            raise InvalidRequestError(
                f"{at}.{name} is missing: a block of type {block.type!r} needs it",
                param=f"{at}.{name}",
            )


def _text(blocks: Sequence[Block], separator: str = _SEPARATOR) -> str:
    return separator.join(block.text or "" for block in blocks)


def _user(blocks: Sequence[Block], at: str) -> Iterator[Message]:
    """The texts and the results of tools in a user's message, in order."""
    texts: list[Block] = []
    for i, block in enumerate(blocks):
        if block.type == "text":
            texts.append(block)
            continue
        if texts:
            yield Message(role="user", content=_text(texts))
            texts = []
        yield _result(block, f"{at}[{i}]")
    if texts or not blocks:
        yield Message(role="user", content=_text(texts))


def _result(block: Block, at: str) -> Message:
    given = block.content
    text = "" if given is UNSET else _text(_blocks(given, "tool", f"{at}.content"))
    if block.is_error:
        text = f"Error: {text}"
    return Message(role="tool", content=text, tool_call_id=block.tool_use_id)


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
        content=_text(texts, ""),
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
