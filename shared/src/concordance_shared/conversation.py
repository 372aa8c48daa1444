"""Messages, tools and response formats, in the format of OpenAI's chat API.

The server decodes requests into these types, mods access them through `get_conversation` and
`get_schemas`, and the chat templates render them into tokens.
"""

from typing import Any, Literal, get_args

from msgspec import Struct

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


def roles_hint(field: str) -> str:
    """Return the end of a message about a field: the roles, if it is the role of a message.

    Args:
        field: The path of the field.

    Examples:
        >>> roles_hint("messages[0].role")
        '; the roles are: system, developer, user, assistant, tool, function'
        >>> roles_hint("messages[0].content")
        ''
    """
    is_role = field.rpartition(".")[2] == "role"
    return f"; the roles are: {', '.join(get_args(Role))}" if is_role else ""


class FunctionCall(Struct, frozen=True):
    """The function called by a tool call, and its arguments.

    Attributes:
        name: The name of the function.
        arguments: The arguments, a JSON object as text.

    Examples:
        >>> FunctionCall("search").arguments
        '{}'
    """

    name: str
    arguments: str = "{}"


class ToolCall(Struct, frozen=True, kw_only=True):
    """A tool call in an assistant message.

    Attributes:
        id: Identifies the call; the tool message with the result repeats it.
        function: The function and its arguments.
        type: Always `function`.

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
    """A part of a message's content. Only text parts are supported.

    Attributes:
        type: `text` for a text part.
        text: The text.

    Examples:
        >>> parts = (ContentPart(type="text", text="Hel"), ContentPart(type="text", text="lo"))
        >>> Message(role="user", content=parts).text
        'Hello'
    """

    type: str
    text: str | None = None


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a conversation.

    Attributes:
        role: The author of the message.
        content: The content, as a string or as parts; `text` handles both.
        name: The name of the author, if the client sends one.
        tool_calls: The tool calls of an assistant message.
        tool_call_id: For a tool message: the id of the call whose result it holds.
        reasoning_content: The reasoning that precedes the content of an assistant message.

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
        """The content as one string: parts are joined; empty if there is no content."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text or "" for part in self.content)


class FunctionSchema(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A function that the model can call.

    Attributes:
        name: The name of the function.
        description: What the function does.
        parameters: The JSON Schema of its arguments.
        strict: True if the arguments must match `parameters` exactly.

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
    """A tool offered to the model in a request.

    Attributes:
        function: The function to call.
        type: Always `function`.

    Examples:
        >>> Tool(function=FunctionSchema(name="search")).function.name
        'search'
    """

    function: FunctionSchema
    type: Literal["function"] = "function"


class JsonSchemaFormat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON Schema that a completion must match.

    Attributes:
        name: The name of the schema.
        schema: The JSON Schema.
        description: What the schema is for.
        strict: True if the completion must match the schema exactly.

    Examples:
        >>> JsonSchemaFormat(name="person", schema={"type": "object"}).schema
        {'type': 'object'}
    """

    name: str
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The requested format of the completion.

    Attributes:
        type: Free text, any JSON object, or a JSON document that matches a schema.
        json_schema: The schema, if `type` is `json_schema`.

    Examples:
        >>> ResponseFormat(type="json_object").json_schema is None
        True
    """

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class Schemas(Struct, frozen=True, kw_only=True):
    """The tools and the response format of a request.

    Attributes:
        tools: The tools that the model can call.
        response_format: The requested format of the completion; `None` if unspecified.

    Examples:
        >>> schemas = Schemas(tools=(Tool(function=FunctionSchema(name="search")),))
        >>> [tool.function.name for tool in schemas.tools]
        ['search']
    """

    tools: tuple[Tool, ...] = ()
    response_format: ResponseFormat | None = None


class Conversation(Struct, frozen=True, kw_only=True):
    """The messages, tools and response format of a request.

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
