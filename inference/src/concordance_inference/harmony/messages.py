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

_INSTRUCTING = ("system", "developer")

_IDENTITY = "You are ChatGPT, a large language model trained by OpenAI."
_CUTOFF = "2024-06"


class Instructions(Struct, frozen=True, kw_only=True):
    """What precedes the messages of a prompt.

    Attributes:
        options: The variables of `OPTIONS` that the request sets.
        tools: The section with the tools; empty if there are none.
        response_format: The format that is asked for.
        hosted: The section with the tools that the server runs; empty if there are none.
    """

    options: Mapping[str, Any] = {}
    tools: str = ""
    hosted: str = ""
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
    has_tools = bool(instructions.tools or instructions.hosted)
    channels = "analysis, commentary, final" if has_tools else "analysis, final"
    lines += [
        f"\nReasoning: {EFFORTS[effort]}",
        *([f"\n{instructions.hosted}"] if instructions.hosted else []),
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


def developer_message(text: str, instructions: Instructions) -> HarmonyMessage | None:
    """Return the developer message; `None` if nothing is in it.

    Args:
        text: What clients call the system message.
        instructions: The tools and the response format.
    """
    sections = [f"# Instructions\n\n{text}"] if text else []
    sections += [instructions.tools] if instructions.tools else []
    formats = _format_section(instructions.response_format)
    if not sections and not formats:
        return None
    return HarmonyMessage(
        author="developer",
        content="\n\n".join(sections),
        second_part="\n\n" + formats if sections and formats else formats,
    )


def instruction_text(messages: Sequence[Message]) -> str:
    """Return the text of the messages at the beginning that are in the developer message."""
    texts = [message.text for message in messages[: num_instructions(messages)]]
    return "\n\n".join(filter(None, texts))


def num_instructions(messages: Sequence[Message]) -> int:
    """Return the number of messages at the beginning that are in the developer message."""
    return next(
        (i for i, message in enumerate(messages) if message.role not in _INSTRUCTING), len(messages)
    )


def _format_section(response_format: ResponseFormat | None) -> str:
    """The section that asks for a response format."""
    given = response_format and response_format.json_schema
    if not given or given.schema is None:
        return ""
    about = f"// {given.description}\n" if given.description else ""
    schema = msgspec.json.encode(given.schema).decode()
    return f"# Response Formats\n\n## {given.name}\n\n{about}{schema}"


def last_final(messages: Sequence[Message], *, continues: bool) -> int:
    """Return the index of the last final message; -1 if there is none."""
    for i in range(len(messages) - 1 - continues, -1, -1):
        if messages[i].role == "assistant" and not messages[i].tool_calls:
            return i
    return -1


def converted(message: Message, tool: str, *, has_reasoning: bool) -> list[HarmonyMessage]:
    """Return the messages of Harmony for a message after the instructions.

    Args:
        message: The message.
        tool: The name of the tool, if the message is the result of one.
        has_reasoning: The message keeps its reasoning.
    """
    match message.role:
        case "assistant":
            return [*_of_assistant(message, has_reasoning=has_reasoning)]
        case "tool" | "function":
            return [_result(message.text, tool)]
        case "system" | "developer":
            text = f"# Instructions\n\n{message.text}"
            return [HarmonyMessage(author="developer", content=text)]
        case "user":
            named = f"{message.name}: " if message.name else ""
            return [HarmonyMessage(author="user", content=named + message.text)]


def reasoning_message(text: str) -> HarmonyMessage:
    """Return a message with reasoning."""
    return _own(text, "analysis")


def _result(text: str, tool: str) -> HarmonyMessage:
    return HarmonyMessage(
        author=f"functions.{tool}", content=text, channel="commentary", recipient="assistant"
    )


def _of_assistant(message: Message, *, has_reasoning: bool) -> Iterator[HarmonyMessage]:
    calls = message.tool_calls or ()
    if message.reasoning_content and has_reasoning:
        yield reasoning_message(message.reasoning_content)
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


def tool_names(messages: Sequence[Message]) -> dict[int, str]:
    """Return the name of the tool of each result, by the index of its message.

    A result without the id of a call answers the first call that has no result yet.

    Raises:
        InvalidRequestError: A result belongs to no call.
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
