"""Blocks of content in requests, decoded and checked."""

from concordance_shared import InvalidRequestError
from msgspec import Raw

from concordance_inference.server.anthropic.schemas import Block
from concordance_inference.server.openai.envelope import check_count
from concordance_inference.server.openai.schemas import MAX_PARTS
from concordance_inference.server.transport.body import decode_body

#: The types of blocks that each role may have.
_TYPES = {
    "system": ("text", "tool_addition", "tool_removal"),
    "user": ("text", "tool_result", "tool_addition", "tool_removal"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use"),
    "tool": ("text", "tool_reference"),
}

#: The fields that a block of each type needs.
_NEEDED = {
    "text": ("text",),
    "thinking": ("thinking",),
    "tool_use": ("id", "name"),
    "tool_result": ("tool_use_id",),
    "tool_reference": ("tool_name",),
    "tool_addition": ("tool",),
    "tool_removal": ("tool",),
}


def decode_blocks(raw: Raw, role: str, at: str) -> list[Block]:
    """Return the blocks of a content; a text is one block.

    Args:
        raw: The content.
        role: Whose it is; `tool` for the result of a tool.
        at: Its path in the request.

    Raises:
        InvalidRequestError: There are too many, or one does not belong there; `param` names it.
    """
    check_count(raw, at, MAX_PARTS)
    content = decode_body(raw, str | list[Block], at=at)
    if isinstance(content, str):
        return [Block(type="text", text=content)]
    for i, block in enumerate(content):
        _check(block, role, f"{at}[{i}]")
    return content


def _check(block: Block, role: str, at: str) -> None:
    if block.type not in _TYPES[role]:
        raise InvalidRequestError(
            f"{at}.type: blocks of type {block.type!r:.60} are not supported here; give blocks of "
            f"type {', '.join(_TYPES[role])}",
            param=f"{at}.type",
        )
    for name in _NEEDED.get(block.type, ()):
        if getattr(block, name) is None:
            raise InvalidRequestError(
                f"{at}.{name} is missing: a block of type {block.type!r} needs it",
                param=f"{at}.{name}",
            )
