"""The bodies of requests, in OpenAI's shape with our own fields beside.

The type is the validation, the default and the documentation. Fields that nobody knows are let
pass, since clients send extras; a known one that changes the output and is not implemented is
refused by its name.
"""

from typing import Annotated, Any

from concordance_shared import InvalidRequestError, Message, ResponseFormat, Tool
from msgspec import Meta, Struct

from concordance_inference.generation import MAX_TOP_LOGPROBS, Fraction, Penalty

Count = Annotated[int, Meta(ge=1)]
StopStrings = Annotated[list[str], Meta(max_length=16)]


class StreamOptions(Struct, kw_only=True):
    """How a stream is to be sent."""

    include_usage: bool = False
    include_retractions: bool = False  # show tokens at once and say what is taken back


class ModChoice(Struct, kw_only=True, forbid_unknown_fields=True):
    """A mod that the request is to run with."""

    name: str
    params: dict[str, Any] = {}


class ChatCompletionRequest(Struct, kw_only=True):
    """The body of `POST /v1/chat/completions`."""

    model: str
    messages: Annotated[list[Message], Meta(min_length=1, max_length=2048)]
    mods: list[ModChoice] = []
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Fraction | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    min_p: Fraction | None = None
    xtc_probability: Fraction | None = None
    xtc_threshold: Annotated[float, Meta(ge=0, le=0.5)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    seed: int | None = None
    stop: str | StopStrings | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    response_format: ResponseFormat | None = None
    # Not implemented: accepted only with the value that changes nothing.
    n: Any = None
    tool_choice: Any = None
    parallel_tool_calls: Any = None
    reasoning_effort: Any = None
    functions: Any = None
    function_call: Any = None
    audio: Any = None
    modalities: Any = None
    web_search_options: Any = None
    moderation: Any = None


#: Fields that are known and not implemented, and the values that change nothing.
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "tool_choice": (None, "auto", "none"),
    "parallel_tool_calls": (None, True, False),
    "reasoning_effort": (None,),
    "functions": (None, []),
    "function_call": (None, "auto", "none"),
    "audio": (None,),
    "modalities": (None, ["text"]),
    "web_search_options": (None,),
    "moderation": (None,),
}


def refuse_unsupported(body: ChatCompletionRequest, *, has_mods: bool) -> None:
    """Refuse what would be ignored.

    Args:
        body: The request.
        has_mods: Whether it names mods, which may do what the server itself does not.

    Raises:
        InvalidRequestError: A field asks for something that is not implemented; it is named.
    """
    for name, harmless in _UNSUPPORTED.items():
        value = getattr(body, name)
        if not any(_is_same(value, same) for same in harmless):
            raise InvalidRequestError(
                f"{name}={value!r:.60} is not supported by this server; leave it out", param=name
            )
    _refuse_other_parts(body.messages)
    if body.response_format and body.response_format.type != "text" and not has_mods:
        raise InvalidRequestError(
            "response_format is not enforced by this server itself; name a mod that does, or "
            "leave it out",
            param="response_format.type",
        )


def _is_same(value: Any, other: Any) -> bool:
    """Equal, and not just because Python counts True as 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _refuse_other_parts(messages: list[Message]) -> None:
    for i, message in enumerate(messages):
        if isinstance(message.content, tuple):
            for j, part in enumerate(message.content):
                if part.type != "text" or part.text is None:
                    raise InvalidRequestError(
                        f"messages[{i}].content[{j}] is of type {part.type!r:.40}; this model "
                        "reads text only",
                        param=f"messages[{i}].content[{j}].type",
                    )
