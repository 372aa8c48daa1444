"""The bodies of requests: OpenAI's fields and our own.

The type of a field is its validation and documentation. Unknown fields are ignored, since clients
send extras, unless they are probably mistyped (`near_misses`); a known field that changes the
output and is not implemented is refused by its name (`unsupported`). `null` is the default of every
field except `model` and `messages`.
"""

from typing import Annotated, Any, ClassVar, Literal

from concordance_shared import (
    ContentPart,
    InvalidRequestError,
    JsonSchemaFormat,
    Message,
    ResponseFormat,
    Tool,
)
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, structs

from concordance_inference.chat.given_message import GivenMessage
from concordance_inference.chat.truncation import Truncation
from concordance_inference.generation import (
    MAX_TOP_LOGPROBS,
)
from concordance_inference.server.openai.generation_fields import Count
from concordance_inference.server.openai.mod_debug_logs import GivenDebugLogs
from concordance_inference.server.openai.prompt_logprobs import NumAlternatives
from concordance_inference.server.openai.reasoning_fields import ReasoningFields

#: Limit of messages in a conversation.
MAX_MESSAGES = 2048

#: Limit of items in the input of `/v1/responses`.
MAX_ITEMS = 4096

#: Limit of parts in a message's content, and of its tool calls.
MAX_PARTS = 1024


#: A message that is decoded later, as a `ChatMessage`.
RawMessage = Annotated[Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/ChatMessage"})]


class ChatPart(ContentPart, frozen=True, kw_only=True):
    """A part of a message's content as clients send it."""

    refusal: str | None = None

    @property
    def plain(self) -> ContentPart:
        """The part as text."""
        return ContentPart(type="text", text=self.refusal if self.type == "refusal" else self.text)


class ChatMessage(GivenMessage, frozen=True, kw_only=True, omit_defaults=True):
    """A message as clients send it."""

    content: str | tuple[ChatPart, ...] | None = None
    reasoning: str | None = None  # another spelling of `reasoning_content`
    refusal: str | None = None  # of the assistant, in place of content

    @property
    def plain(self) -> Message:
        """The message without client-specific fields; a refusal is its text."""
        content: str | tuple[ContentPart, ...] | None = self.content or self.refusal
        if isinstance(self.content, tuple):
            content = tuple(part.plain for part in self.content)
        reasoning = self.reasoning_content or self.reasoning
        return structs.replace(super().plain, content=content, reasoning_content=reasoning)


class ChosenSchema(Struct, kw_only=True, forbid_unknown_fields=True):
    """The schema of a response format."""

    name: str
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class ChosenFormat(Struct, kw_only=True, forbid_unknown_fields=True):
    """A response format; its schema is where OpenAI or where llama.cpp puts it."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: ChosenSchema | None = None
    schema: dict[str, Any] | None = None

    @property
    def plain(self) -> ResponseFormat:
        """The format with its schema in one place.

        Raises:
            InvalidRequestError: The schema is missing, or would be ignored.
        """
        chosen = self._schema()
        if chosen is None:
            return ResponseFormat(type=self.type)
        return ResponseFormat(type="json_schema", json_schema=chosen)

    def _schema(self) -> JsonSchemaFormat | None:
        if self.json_schema is not None:
            where = "response_format.json_schema"
            if self.type != "json_schema" or self.schema is not None:
                raise InvalidRequestError(
                    f"{where} belongs to type 'json_schema' and excludes `schema`", param=where
                )
            if self.json_schema.schema is None:
                raise _lacks_schema(f"{where}.schema")
            return JsonSchemaFormat(**structs.asdict(self.json_schema))
        if self.schema is not None and self.type != "text":
            return JsonSchemaFormat(name="response", schema=self.schema)
        if self.schema is not None:
            raise InvalidRequestError(
                "response_format.schema is not used by type 'text'; leave one of them out",
                param="response_format.schema",
            )
        if self.type == "json_schema":
            raise _lacks_schema("response_format.json_schema")
        return None


def _lacks_schema(where: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{where} is missing: a response format of type 'json_schema' needs a JSON Schema",
        param=where,
    )


ToolName = Annotated[str, Meta(max_length=64)]


class ChatCompletionRequest(ReasoningFields, kw_only=True):
    """The body of `POST /v1/chat/completions`.

    Messages are decoded later, after the number of their parts is checked.
    """

    id_prefix: ClassVar[str] = "chatcmpl-"

    messages: Annotated[list[RawMessage], Meta(max_length=MAX_MESSAGES)] | UnsetType | None = UNSET
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Count | None = None
    best_of: Count | None = None
    logprobs: bool | None = None
    sampled_logprobs: bool | None = None
    prompt_logprobs: NumAlternatives | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    hosted_tools: Annotated[list[ToolName], Meta(max_length=16)] | None = None
    response_format: ChosenFormat | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    truncation: Truncation | None = None
    verbosity: Literal["low", "medium", "high"] | None = None  # for templates that read it
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    mod_debug_logs: GivenDebugLogs | None = None  # of the older server
    allow_control_tokens: bool | None = None  # names of control tokens in messages become tokens
