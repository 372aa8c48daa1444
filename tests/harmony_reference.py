"""Conversations rendered by the openai-harmony library itself, for comparison."""

import json

from concordance_inference.harmony.tool_schema import normalized
from openai_harmony import (
    Author,
    Conversation,
    DeveloperContent,
    Message,
    ReasoningEffort,
    RenderConversationConfig,
    Role,
    SystemContent,
    TextContent,
    ToolDescription,
)


def rendered(encoding, messages, tools=(), effort="medium", date=None, response_format=None):
    """The prompt of OpenAI messages, as plain dictionaries."""
    system = SystemContent.new().with_reasoning_effort(ReasoningEffort(effort.capitalize()))
    channels = ["analysis", "commentary", "final"] if tools else ["analysis", "final"]
    system = system.with_required_channels(channels)
    if date:
        system = system.with_conversation_start_date(date)
    out = [Message.from_role_and_content(Role.SYSTEM, system)]
    out += _developer(messages, tools, response_format)
    chat = [message for message in messages if message["role"] not in ("system", "developer")]
    out += _chat(chat)
    config = RenderConversationConfig(auto_drop_analysis=False)
    return encoding.render_conversation_for_completion(
        Conversation.from_messages(out), Role.ASSISTANT, config
    )


def _developer(messages, tools, response_format):
    texts = [m["content"] for m in messages if m["role"] in ("system", "developer")]
    text = "\n\n".join(filter(None, texts))
    content = DeveloperContent.new()
    if text:
        content = content.with_instructions(text)
    if tools:
        described = [
            ToolDescription.new(
                tool["name"],
                tool.get("description", ""),
                normalized(tool["parameters"]) if tool.get("parameters") else None,
            )
            for tool in tools
        ]
        content = content.with_function_tools(described)
    parts = [content] if text or tools else []
    if response_format:
        schema = json.dumps(response_format["schema"], separators=(",", ":"))
        section = f"# Response Formats\n\n## {response_format['name']}\n\n{schema}"
        parts.append(TextContent(text=("\n\n" if parts else "") + section))
    return [Message.from_role_and_contents(Role.DEVELOPER, parts)] if parts else []


def _chat(messages):
    finals = [
        i
        for i, message in enumerate(messages)
        if message["role"] == "assistant" and not message.get("tool_calls")
    ]
    last = finals[-1] if finals else -1
    names = {}
    out = []
    for i, message in enumerate(messages):
        text = message.get("content") or ""
        if message["role"] == "user":
            out.append(Message.from_role_and_content(Role.USER, text))
        elif message["role"] == "tool":
            author = Author.new(Role.TOOL, f"functions.{names[message['tool_call_id']]}")
            result = Message.from_author_and_content(author, text).with_channel("commentary")
            out.append(result.with_recipient("assistant"))
        else:
            calls = message.get("tool_calls") or []
            if message.get("reasoning_content") and i > last:
                out.append(_own(message["reasoning_content"], "analysis"))
            if text or not calls:
                out.append(_own(text, "commentary" if calls else "final"))
            for call in calls:
                name = names[call["id"]] = call["function"]["name"]
                sent = _own(call["function"]["arguments"], "commentary")
                sent = sent.with_recipient(f"functions.{name}")
                out.append(sent.with_content_type("<|constrain|>json"))
    return out


def _own(text, channel):
    return Message.from_role_and_content(Role.ASSISTANT, text).with_channel(channel)
