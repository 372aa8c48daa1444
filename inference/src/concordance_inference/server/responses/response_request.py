"""Turns the body of a request into a request for the engine.

The work grows with the size of the body, so it runs on a background thread.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from concordance_shared import (
    InvalidRequestError,
    JsonSchemaFormat,
    RequestError,
    ResponseFormat,
    Schemas,
)
from msgspec import Struct, structs
from msgspec.json import encode

from concordance_inference.chat.reasoning_choice import ReasoningChoice
from concordance_inference.chat.rendering import Rendering
from concordance_inference.chat.request import build_request
from concordance_inference.chat.truncation import room_for_prompt
from concordance_inference.generation import GenerationRequest
from concordance_inference.output_format import OutputFormat
from concordance_inference.server.branches.branch_from import begins_elsewhere, generation_from
from concordance_inference.server.context import ServerContext
from concordance_inference.server.openai.envelope import check_fields, fields_of
from concordance_inference.server.openai.generation_fields import decode_request, generation_options
from concordance_inference.server.openai.output_fields import output_format
from concordance_inference.server.responses.chat_messages import messages_of
from concordance_inference.server.responses.errors import PreviousResponseError
from concordance_inference.server.responses.function_tools import FunctionTool, decode_tools
from concordance_inference.server.responses.given_items import check_outputs, decode_items
from concordance_inference.server.responses.items import Item
from concordance_inference.server.responses.request_fields import (
    RENAMED,
    UNSUPPORTED,
    ResponseRequest,
    TextFormat,
)
from concordance_inference.server.responses.response_store import ResponseStore
from concordance_inference.server.responses.truncation import shortened
from concordance_inference.server.served_models import ServedModel
from concordance_inference.tools.choice import tool_choice

_FIELDS = fields_of(ResponseRequest, UNSUPPORTED, RENAMED)

#: The names here of the fields that errors of the engine's requests name.
_PARAMS: Mapping[str, str] = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
}


class ResponsesRequest(Struct, frozen=True, kw_only=True, eq=False):
    """A request for a response, decoded and checked.

    Attributes:
        context: The conversation before the response, with that of the previous response.
        num_dropped: Items at its beginning that the prompt leaves out, since they do not fit.
    """

    body: ResponseRequest
    served: ServedModel
    tools: tuple[FunctionTool, ...]
    context: tuple[Item, ...]
    num_dropped: int
    generation: GenerationRequest

    @property
    def is_stored(self) -> bool:
        """True if the response is kept for later requests."""
        return self.body.store is not False


def responses_request(raw: bytes, context: ServerContext, store: ResponseStore) -> ResponsesRequest:
    """Decode and check a body, and render its prompt.

    Raises:
        ConcordanceError: A field is wrong, or names a model, a mod, a response or an item that is
            not there.
        ModelNotLoadedError: The model has to be loaded first.
    """
    body = decode_request(check_fields(raw, _FIELDS), ResponseRequest)
    _check(body)
    if begins_elsewhere(body):
        return _resumed(body, context)
    tools = decode_tools(body.tools or ())
    items = _conversation(body, store)
    served = context.models.named(body.model)
    try:
        num_dropped, generation = _generation(body, items, tools, served, context)
    except RequestError as exc:
        exc.param = _renamed(exc.param)
        raise
    return ResponsesRequest(
        body=body,
        served=served,
        tools=tools,
        context=items,
        num_dropped=num_dropped,
        generation=generation,
    )


def _resumed(body: ResponseRequest, context: ServerContext) -> ResponsesRequest:
    """A request that continues or branches off a response, with the conversation before it."""
    served = context.models.named(body.model)
    has_logprobs = "message.output_text.logprobs" in (body.include or ())
    try:
        generation = generation_from(
            body,
            served,
            context,
            max_tokens=body.max_output_tokens,
            top_logprobs=(body.top_logprobs or 0) if has_logprobs else None,
            stream=bool(body.stream or body.background),
        )
    except RequestError as exc:
        exc.param = _renamed(exc.param)
        raise
    branch = body.branch_from
    earlier = context.responses.find(branch.id if branch else body.resume_from or "")
    return ResponsesRequest(
        body=body,
        served=served,
        tools=(),
        context=earlier.context if earlier else (),
        num_dropped=0,
        generation=generation,
    )


def _check(body: ResponseRequest) -> None:
    """Refuse fields that contradict each other, or that this server cannot do."""
    includes = body.include or ()
    if body.background and body.store is False:
        raise InvalidRequestError(
            "background=true needs store=true, since the response is retrieved later",
            param="store",
        )
    if body.top_logprobs and "message.output_text.logprobs" not in includes:
        raise InvalidRequestError(
            'top_logprobs needs include: ["message.output_text.logprobs"]', param="top_logprobs"
        )
    for name in ("include_retractions", "include_tokens"):
        if body.stream_options and getattr(body.stream_options, name):
            raise InvalidRequestError(
                f"stream_options.{name} has no event in this API; use /v1/chat/completions",
                param=f"stream_options.{name}",
            )
    _check_reasoning(body)


def _check_reasoning(body: ResponseRequest) -> None:
    reasoning = body.reasoning
    if reasoning is None:
        return
    for name in ("summary", "generate_summary"):
        if getattr(reasoning, name) == "concise":
            raise InvalidRequestError(
                f"reasoning.{name}='concise': this server does not summarize; with 'auto' or "
                "'detailed' the summary is the reasoning itself, and without it the reasoning is "
                "in `content`",
                param=f"reasoning.{name}",
            )
    effort, enabled = reasoning.effort, reasoning.enabled
    if effort is not None and enabled is not None and (effort != "none") != enabled:
        raise InvalidRequestError(
            f"reasoning.effort={effort!r} and reasoning.enabled={str(enabled).lower()} contradict "
            "each other; leave out one of them",
            param="reasoning.enabled",
        )
    for name, usual in (("context", "auto"), ("mode", "standard")):
        value = getattr(reasoning, name)
        if value not in (None, usual):
            raise InvalidRequestError(
                f"reasoning.{name}={value!r} is not supported by this server; leave it out",
                param=f"reasoning.{name}",
            )


def _conversation(body: ResponseRequest, store: ResponseStore) -> tuple[Item, ...]:
    """The items before the response: those of the previous response, then the input."""
    before = _before(body.previous_response_id, store)
    items = decode_items(body.input if body.input is not None else (), store.item)
    check_outputs(items, before)
    if not before and not items:
        raise InvalidRequestError(
            "input is missing or empty; give a text, or a list of items", param="input"
        )
    return (*before, *items)


def _before(response_id: str | None, store: ResponseStore) -> tuple[Item, ...]:
    if response_id is None:
        return ()
    previous = store.find(response_id)
    if previous is None:
        raise PreviousResponseError(
            f"previous_response_id: {store.lack_of(response_id)}; send the conversation as input",
            param="previous_response_id",
        )
    if previous.status == "failed":
        raise InvalidRequestError(
            f"previous_response_id: the response {response_id!r:.80} failed, so it cannot be "
            "continued; name the one before it",
            param="previous_response_id",
        )
    return (*previous.context, *previous.output)


def _generation(
    body: ResponseRequest,
    items: tuple[Item, ...],
    tools: Sequence[FunctionTool],
    served: ServedModel,
    context: ServerContext,
) -> tuple[int, GenerationRequest]:
    """The request to the engine, and the number of items that it leaves out."""
    text_format = body.text.format if body.text else None
    response_format = _response_format(text_format)
    output = output_format(body, response_format)
    options = generation_options(body, served, context)
    options["max_tokens"] = body.max_output_tokens
    options["stream"] = bool(body.stream or body.background)
    if "message.output_text.logprobs" in (body.include or ()):
        options["top_logprobs"] = body.top_logprobs or 0
    choice = tool_choice(body.tool_choice, has_tools=bool(tools), parallel=body.parallel_tool_calls)
    template_options = _template_options(body, served)

    def build(items: Sequence[Item]) -> GenerationRequest:
        return build_request(
            messages_of(items, body.instructions),
            served.chat,
            served.info,
            schemas=Schemas(
                tools=tuple(tool.plain for tool in tools), response_format=response_format
            ),
            output=_at_text_format(output),
            template_options=template_options,
            reasoning=_reasoning(body),
            tool_choice=choice,
            rendering=Rendering(allows_control_tokens=bool(body.allow_control_tokens)),
            **options,
        )

    if (body.truncation or context.truncation) == "auto":
        most = room_for_prompt(served.info.context_length, body.max_output_tokens)
        return shortened(items, build, most, lambda item: _size(item, served))
    return 0, build(items)


def _size(item: Item, served: ServedModel) -> int:
    return served.chat.count(encode(item).decode())


def _at_text_format(output: OutputFormat | None) -> OutputFormat | None:
    """The format with the name of its field in this API."""
    if output is None or output.field != "response_format":
        return output
    is_schema = output.param != output.field
    param = "text.format.schema" if is_schema else "text.format"
    return structs.replace(output, param=param)


def _response_format(given: TextFormat | None) -> ResponseFormat | None:
    """The format as `response_format`, which mods read."""
    if given is None:
        return None
    if given.type != "json_schema":
        if given.schema is not None:
            raise InvalidRequestError(
                f"text.format.schema is not used by type {given.type!r}; use type 'json_schema'",
                param="text.format.schema",
            )
        return ResponseFormat(type=given.type)
    for name in ("name", "schema"):
        if getattr(given, name) is None:
            raise InvalidRequestError(
                f"text.format.{name} is missing: a format of type 'json_schema' needs it",
                param=f"text.format.{name}",
            )
    return ResponseFormat(
        type="json_schema",
        json_schema=JsonSchemaFormat(
            name=given.name or "",
            schema=given.schema,
            description=given.description,
            strict=given.strict,
        ),
    )


def _template_options(body: ResponseRequest, served: ServedModel) -> dict[str, Any]:
    """The variables of the chat template that the request sets."""
    given: dict[str, Any] = dict(body.chat_template_kwargs or {})
    verbosity = body.text.verbosity if body.text else None
    if verbosity is not None and "verbosity" in served.chat.options:
        given["verbosity"] = verbosity
    return given


def _reasoning(body: ResponseRequest) -> ReasoningChoice:
    """How much the model reasons."""
    given = body.reasoning
    if given is None:
        return ReasoningChoice(param="reasoning")
    budget = given.max_tokens
    said = [
        name for name in ("effort", "enabled", "max_tokens") if getattr(given, name) is not None
    ]
    return ReasoningChoice(
        effort=given.effort,
        is_on=given.enabled,
        max_tokens=None if budget is None or budget < 0 else budget,
        param=f"reasoning.{said[0]}" if said else "reasoning",
    )


def _renamed(param: str | None) -> str | None:
    """The name of a field in this API."""
    head, dot, rest = (param or "").replace("[", ".[", 1).partition(".")
    if head == "messages":  # of a message, which is not one item
        return "input"
    if head == "tools":  # whose fields are not nested here
        return (param or "").replace("].function", "]", 1)
    return f"{_PARAMS[head]}{dot}{rest}" if head in _PARAMS else param
