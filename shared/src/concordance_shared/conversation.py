"""What a conversation is made of, in the shape of OpenAI's chat API.

Mods read these (`get_conversation`, `get_schemas`), the server decodes into them, and the chat
formats render them into tokens.
"""

from typing import Any, Literal

from msgspec import Struct

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class FunctionCall(Struct, frozen=True):
    """The function that a tool call names, and its arguments.

    Attributes:
        name: The function's.
        arguments: An object, as JSON text.

    Examples:
        >>> FunctionCall("search").arguments
        '{}'
    """

    name: str
    arguments: str = "{}"


class ToolCall(Struct, frozen=True, kw_only=True):
    """One call of a tool, as an assistant's message carries it.

    Attributes:
        id: Names the call; the tool's answer repeats it.
        function: What is called, with which arguments.
        type: Only functions are known.

    Examples:
        >>> import msgspec
        >>> call = ToolCall(id="call_1", function=FunctionCall("search", '{"query":"tides"}'))
        >>> msgspec.json.decode(msgspec.json.encode(call), type=ToolCall) == call
        True
    """

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class ContentPart(Struct, frozen=True, kw_only=True):
    """A part of a message's content. Only text is understood.

    Attributes:
        type: `text`, for a part that has any.
        text: The text.

    Examples:
        >>> parts = (ContentPart(type="text", text="Hel"), ContentPart(type="text", text="lo"))
        >>> Message(role="user", content=parts).text
        'Hello'
    """

    type: str
    text: str | None = None


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn of a conversation.

    Attributes:
        role: Whose turn it is.
        content: What was said, as a text or in parts; `text` reads either.
        name: Of the one who speaks, where the client gives it.
        tool_calls: The tools that an assistant called.
        tool_call_id: For a tool's answer: the call that it answers.
        reasoning_content: What the assistant thought before it spoke.

    Examples:
        >>> Message(role="user", content="Hello").text
        'Hello'
        >>> Message(role="assistant").text
        ''
    """

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
    """A function that the model may call.

    Attributes:
        name: The function's.
        description: What it is for.
        parameters: The JSON Schema of its arguments.
        strict: Whether the arguments have to follow that exactly.

    Examples:
        >>> schema = FunctionSchema(name="search", parameters={"type": "object"})
        >>> schema.parameters["type"]
        'object'
    """

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, frozen=True, kw_only=True):
    """A tool of a request.

    Attributes:
        function: The function that it is.
        type: Only functions are known.

    Examples:
        >>> Tool(function=FunctionSchema(name="search")).function.name
        'search'
    """

    function: FunctionSchema
    type: Literal["function"] = "function"


class JsonSchemaFormat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema that an answer is asked to follow.

    Attributes:
        name: The schema's.
        schema: The JSON Schema itself.
        description: What it is for.
        strict: Whether it has to be followed exactly.

    Examples:
        >>> JsonSchemaFormat(name="person", schema={"type": "object"}).schema
        {'type': 'object'}
    """

    name: str
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The form that an answer is asked to have.

    Attributes:
        type: Any text, any JSON object, or a document of a JSON Schema.
        json_schema: The schema, for the last of these.

    Examples:
        >>> ResponseFormat(type="json_object").json_schema is None
        True
    """

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class Schemas(Struct, frozen=True, kw_only=True):
    """The tools and the response format of one request.

    Attributes:
        tools: The tools that the model may call.
        response_format: The form that the answer is asked to have, if any is.

    Examples:
        >>> schemas = Schemas(tools=(Tool(function=FunctionSchema(name="search")),))
        >>> [tool.function.name for tool in schemas.tools]
        ['search']
    """

    tools: tuple[Tool, ...] = ()
    response_format: ResponseFormat | None = None


class Conversation(Struct, frozen=True, kw_only=True):
    """The messages of one request, its tools and its response format.

    Attributes:
        messages: The messages, oldest first.
        schemas: The tools and the response format.

    Examples:
        >>> conversation = Conversation(messages=(Message(role="user", content="Hello"),))
        >>> conversation.messages[-1].text, conversation.schemas.tools
        ('Hello', ())
    """

    messages: tuple[Message, ...] = ()
    schemas: Schemas = Schemas()
