"""Tools for models whose chat template renders none: a system message, and calls as text."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from concordance_shared import Message

from concordance_inference.chat.template_messages import Messages, forms_of

_INSTRUCTIONS = """\
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


def generic_forms(
    messages: Sequence[Message], tools: Sequence[dict[str, Any]]
) -> Iterator[Messages]:
    """The messages in each form to try: the instructions are a system message, or the user's.

    Args:
        messages: The messages.
        tools: The tools, as requests write them; without any, there are no instructions.
    """
    rewritten = [_rewritten(message) for message in messages]
    if not tools:
        yield from forms_of(rewritten)
        return
    instructions = _INSTRUCTIONS.format(tools="\n".join(map(_json, tools)))
    for form in forms_of(rewritten):
        yield _with_system(form, instructions)
        yield _with_user(form, instructions)


def _rewritten(message: Message) -> Message:
    """A message with its calls, or with the result of a call, as text."""
    if message.role == "tool":
        text = f"<tool_response>\n{message.text}\n</tool_response>"
        return Message(role="user", content=text)
    if not message.tool_calls:
        return message
    calls = [
        f'<tool_call>\n{{"name": {_json(call.function.name)}, '
        f'"arguments": {_arguments(call.function.arguments)}}}\n</tool_call>'
        for call in message.tool_calls
    ]
    text = "\n".join([message.text, *calls] if message.text else calls)
    return msgspec.structs.replace(message, content=text, tool_calls=None)


def _arguments(text: str) -> str:
    """The arguments of a call as models write them; invalid ones as they are."""
    try:
        return _json(json.loads(text or "{}"))
    except (ValueError, RecursionError):
        return text


def _with_system(messages: Messages, instructions: str) -> Messages:
    if messages and messages[0]["role"] == "system":
        first, *rest = messages
        return [{**first, "content": f"{first['content']}\n\n{instructions}"}, *rest]
    return [{"role": "system", "content": instructions}, *messages]


def _with_user(messages: Messages, instructions: str) -> Messages:
    """The instructions before the text of the first message of the user."""
    first = next((i for i, one in enumerate(messages) if one["role"] == "user"), None)
    if first is None:
        return _with_system(messages, instructions)
    user = messages[first]
    changed = {**user, "content": f"{instructions}\n\n{user['content']}"}
    return [*messages[:first], changed, *messages[first + 1 :]]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
