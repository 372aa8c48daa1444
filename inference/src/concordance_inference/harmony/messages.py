"""A conversation in OpenAI's format as messages in Harmony.

What clients call the system message is in the developer message; the system message of Harmony has
what the model was trained to find there.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from concordance_shared import InvalidRequestError, Message, ResponseFormat
from msgspec import Struct

from concordance_inference.harmony.message import HarmonyMessage

#: Reasoning efforts of requests, and those that the model knows.
EFFORTS = {
    "none": "low",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}

#: The variables that a request can set.
OPTIONS = frozenset(
    {"conversation_start_date", "knowledge_cutoff", "model_identity", "reasoning_effort"}
)

_IDENTITY = "You are ChatGPT, a large language model trained by OpenAI."
_CUTOFF = "2024-06"


class Instructions(Struct, frozen=True, kw_only=True):
    """What precedes the messages of a prompt.

    Attributes:
        options: The variables of `OPTIONS` that the request sets.
        tools: The section with the tools; empty if there are none.
        response_format: The format that is asked for.
    """

    options: Mapping[str, Any] = {}
    tools: str = ""
    response_format: ResponseFormat | None = None


def system_message(instructions: Instructions) -> HarmonyMessage:
    """Return the system message, which only the options and the presence of tools change.

    Raises:
        InvalidRequestError: An option has a wrong value.
    """
    options = instructions.options
    texts = {name: _text_option(options, name) for name in OPTIONS}
    effort = texts["reasoning_effort"] or "medium"
    if effort not in EFFORTS:
        raise InvalidRequestError(
            f"reasoning_effort: {effort!r:.40} is not one of {', '.join(EFFORTS)}",
            param="reasoning_effort",
        )
    lines = [
        texts["model_identity"] or _IDENTITY,
        f"Knowledge cutoff: {texts['knowledge_cutoff'] or _CUTOFF}",
    ]
    if texts["conversation_start_date"]:
        lines.append(f"Current date: {texts['conversation_start_date']}")
    channels = "analysis, commentary, final" if instructions.tools else "analysis, final"
    lines += [
        f"\nReasoning: {EFFORTS[effort]}",
        f"\n# Valid channels: {channels}. Channel must be included for every message.",
    ]
    if instructions.tools:
        lines.append("Calls to these tools must go to the commentary channel: 'functions'.")
    return HarmonyMessage(author="system", content="\n".join(lines))


def _text_option(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if value is not None and not isinstance(value, str):
        param = f"chat_template_kwargs.{name}"
        raise InvalidRequestError(f"{param}: it is a text, not {value!r:.40}", param=param)
    return value


def developer_message(
    messages: Sequence[Message], instructions: Instructions
) -> HarmonyMessage | None:
    """Return the developer message; `None` if nothing is in it."""
    texts = [message.text for message in messages if is_instruction(message)]
    text = "\n\n".join(filter(None, texts))
    sections = [f"# Instructions\n\n{text}"] if text else []
    sections += [instructions.tools] if instructions.tools else []
    if section := _format_section(instructions.response_format):
        sections.append(section)
    if not sections:
        return None
    return HarmonyMessage(author="developer", content="\n\n".join(sections))


def is_instruction(message: Message) -> bool:
    """True if a message's text is in the developer message."""
    return message.role in ("system", "developer")


def _format_section(response_format: ResponseFormat | None) -> str:
    """The section that asks for a response format."""
    given = response_format and response_format.json_schema
    if not given or given.schema is None:
        return ""
    about = f"// {given.description}\n" if given.description else ""
    schema = msgspec.json.encode(given.schema).decode()
    return f"# Response Formats\n\n## {given.name}\n\n{about}{schema}"


def turn_messages(messages: Sequence[Message], *, continues: bool) -> list[list[HarmonyMessage]]:
    """Return the messages of Harmony for each message that is no instruction.

    Reasoning before the last final message is dropped, as the model was trained.

    Args:
        messages: The conversation without its instructions.
        continues: The last message is continued: it is not a final one yet.

    Raises:
        InvalidRequestError: The result of a tool belongs to no call.
    """
    names = _tool_names(messages)
    last = last_final(messages, continues=continues)
    return [
        [*_converted(message, names.get(i, ""), has_reasoning=i > last)]
        for i, message in enumerate(messages)
    ]


def last_final(messages: Sequence[Message], *, continues: bool) -> int:
    """Return the index of the last final message; -1 if there is none."""
    for i in range(len(messages) - 1 - continues, -1, -1):
        if messages[i].role == "assistant" and not messages[i].tool_calls:
            return i
    return -1


def _converted(message: Message, name: str, *, has_reasoning: bool) -> Iterator[HarmonyMessage]:
    match message.role:
        case "assistant":
            yield from _of_assistant(message, has_reasoning=has_reasoning)
        case "tool" | "function":
            yield HarmonyMessage(
                author=f"functions.{name}",
                content=message.text,
                channel="commentary",
                recipient="assistant",
            )
        case _:
            named = f"{message.name}: " if message.name else ""
            yield HarmonyMessage(author="user", content=named + message.text)


def _of_assistant(message: Message, *, has_reasoning: bool) -> Iterator[HarmonyMessage]:
    calls = message.tool_calls or ()
    if message.reasoning_content and has_reasoning:
        yield _own(message.reasoning_content, "analysis")
    if message.text or not calls:
        yield _own(message.text, "commentary" if calls else "final")
    for call in calls:
        yield HarmonyMessage(
            author="assistant",
            content=call.function.arguments,
            channel="commentary",
            recipient=f"functions.{call.function.name}",
            content_type="json",
        )


def _own(text: str, channel: Any) -> HarmonyMessage:
    return HarmonyMessage(author="assistant", content=text, channel=channel)


def _tool_names(messages: Sequence[Message]) -> dict[int, str]:
    """The name of the tool of each result, by its index.

    A result without the id of a call answers the first call that has no result yet.
    """
    known: dict[str, str] = {}
    waiting: dict[str, None] = {}
    names: dict[int, str] = {}
    for i, message in enumerate(messages):
        for j, call in enumerate(message.tool_calls or ()):
            call_id = call.id or f"\0{i}.{j}"
            known[call_id] = call.function.name
            waiting[call_id] = None
        if message.role in ("tool", "function"):
            answered = message.tool_call_id or next(iter(waiting), "")
            waiting.pop(answered, None)
            names[i] = _tool_name(message, known.get(answered))
    return names


def _tool_name(message: Message, called: str | None) -> str:
    name = called or message.name
    if not name:
        raise InvalidRequestError(
            f"messages: the result of a tool, tool_call_id {message.tool_call_id!r:.80}, belongs "
            "to no call of an earlier message; give the id of a call, or the name of the tool",
            param="messages",
        )
    return name
