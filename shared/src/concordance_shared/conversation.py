"""What a conversation is made of, in the shape of OpenAI's chat API.

Mods read these (`get_conversation`, `get_schemas`), the server decodes into them, and the chat
formats render them into tokens.
"""

from typing import Any, Literal

from msgspec import Struct

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class FunctionCall(Struct, frozen=True):
    """The function that a tool call names, and its arguments as JSON text."""

    name: str
    arguments: str = "{}"


class ToolCall(Struct, frozen=True, kw_only=True):
    """One call of a tool, as an assistant's message carries it."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class ContentPart(Struct, frozen=True, kw_only=True):
    """A part of a message's content. Only text is understood."""

    type: str
    text: str | None = None


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn of a conversation."""

    role: Role
    content: str | tuple[ContentPart, ...] | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None

    @property
    def text(self) -> str:
        """The content as one string: parts joined, nothing where there is none."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text or "" for part in self.content)


class FunctionSchema(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A function that the model may call: its name, purpose and JSON Schema of arguments."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, frozen=True, kw_only=True):
    """A tool of a request."""

    function: FunctionSchema
    type: Literal["function"] = "function"


class JsonSchemaFormat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema that an answer is asked to follow."""

    name: str
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The form that an answer is asked to have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class Schemas(Struct, frozen=True, kw_only=True):
    """The tools and the response format of one request."""

    tools: tuple[Tool, ...] = ()
    response_format: ResponseFormat | None = None


class Conversation(Struct, frozen=True, kw_only=True):
    """The messages of one request, its tools and its response format."""

    messages: tuple[Message, ...] = ()
    schemas: Schemas = Schemas()
