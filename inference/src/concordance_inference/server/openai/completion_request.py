"""The body of `POST /v1/completions`, and the requests to the engine that it becomes.

The work grows with the size of the body, so it runs on a background thread.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from concordance_shared import InvalidRequestError, RequestError, Schemas
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from concordance_inference.chat.request import Prompt, RequestOptions, build_request
from concordance_inference.generation import GenerationRequest
from concordance_inference.server.branches.branch_from import begins_elsewhere, generation_from
from concordance_inference.server.context import ServerContext
from concordance_inference.server.openai.envelope import check_fields, fields_of
from concordance_inference.server.openai.generation_fields import (
    Count,
    GenerationFields,
    decode_request,
    generation_options,
    refuse_retractions,
)
from concordance_inference.server.openai.output_fields import output_format
from concordance_inference.server.openai.prompt_logprobs import (
    NumAlternatives,
    check_sampled_logprobs,
)
from concordance_inference.server.openai.reasoning_fields import HARMLESS as REASONING
from concordance_inference.server.openai.schemas import ChosenFormat
from concordance_inference.server.openai.several_choices import Choices, choices_of
from concordance_inference.server.openai.text_lists import listed
from concordance_inference.server.openai.unsupported import FIELDS, Harmless
from concordance_inference.server.served_models import ServedModel

#: Limit of prompts in a request.
MAX_PROMPTS = 128

#: The length of a completion without `max_tokens`, as in OpenAI's API.
_MAX_TOKENS = 16

TokenId = Annotated[int, Meta(ge=0, le=2**53)]


class CompletionRequest(GenerationFields, kw_only=True):
    """The body of `POST /v1/completions`."""

    id_prefix: ClassVar[str] = "cmpl-"

    prompt: str | list[str | TokenId | list[TokenId]] | UnsetType | None = UNSET
    max_tokens: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    n: Count | None = None
    best_of: Count | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    sampled_logprobs: bool | None = None
    prompt_logprobs: NumAlternatives | None = None
    echo: bool | None = None
    add_special_tokens: bool | None = None
    response_format: ChosenFormat | None = None


#: Fields that change the output and are not those of this request.
_UNSUPPORTED: dict[str, Harmless] = {
    **{name: v for name, v in FIELDS.items() if name not in CompletionRequest.__struct_fields__},
    "suffix": ("",),
    "messages": (),
    "tools": ([],),
    "tool_choice": ("auto", "none"),
    "max_completion_tokens": (),
    "top_logprobs": (0,),
    **REASONING,
    "chat_template_kwargs": ({},),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "allow_control_tokens": (False,),
}

_FIELDS = fields_of(CompletionRequest, _UNSUPPORTED)


class CompletionsRequest(Struct, frozen=True, kw_only=True, eq=False):
    """A request for completions, decoded and checked."""

    body: CompletionRequest
    served: ServedModel
    choices: Choices
    generations: tuple[GenerationRequest, ...]  # `choices.count` for each prompt
    prompts: tuple[str | None, ...]  # those that were given as text

    @property
    def includes_usage(self) -> bool:
        """True if a stream ends with the usage."""
        options = self.body.stream_options
        return bool(options and options.include_usage)


def completions_request(raw: bytes, context: ServerContext) -> CompletionsRequest:
    """Decode and check a body, and tokenize its prompts.

    Raises:
        ConcordanceError: A field is wrong, or names a model or mod that is not there.
        ModelNotLoadedError: The model has to be loaded first.
    """
    body = decode_request(check_fields(raw, _FIELDS), CompletionRequest)
    _check(body)
    if begins_elsewhere(body):
        return _resumed(body, context)
    if body.prompt is UNSET:
        raise InvalidRequestError("prompt: object missing required field `prompt`", param="prompt")
    if body.prompt is None:
        raise InvalidRequestError("prompt: expected `str | array`, got `null`", param="prompt")
    prompts = listed(body.prompt, field="prompt", each="prompts", most=MAX_PROMPTS)
    is_list = len(prompts) > 1 or prompts[0] is not body.prompt
    served = context.models.named(body.model)
    options = _options(body, served, context)
    generations = [
        _generation(body, prompt, served, options, f"prompt[{i}]" if is_list else "prompt")
        for i, prompt in enumerate(prompts)
    ]
    choices = choices_of(
        body.n, body.best_of, served.engine, streams=bool(body.stream), num_prompts=len(prompts)
    )
    texts = (prompt if isinstance(prompt, str) else None for prompt in prompts)
    return CompletionsRequest(
        body=body,
        served=served,
        choices=choices,
        generations=_numbered(
            [one for first in generations for one in _all(first, choices)], choices.count
        ),
        prompts=tuple(texts),
    )


def _numbered(
    generations: Sequence[GenerationRequest], count: int
) -> tuple[GenerationRequest, ...]:
    """Give the generations the same ids, in the order of the response's choices.

    Args:
        generations: Those of one prompt after another. The first ones have the first ids.
        count: Those of each prompt.
    """
    later = (each for i, each in enumerate(generations) if i % count)
    ids = [each.request_id for each in (*generations[::count], *later)]
    return tuple(
        replace(each, request_id=request_id)
        for each, request_id in zip(generations, ids, strict=True)
    )


def _check(body: CompletionRequest) -> None:
    if body.logprobs is not None:
        refuse_retractions(body, "logprobs")
    if body.truncate_thinking is not None:
        raise InvalidRequestError(
            "truncate_thinking: a text completion has no reasoning of its own; give "
            "truncate_response, or use /v1/chat/completions",
            param="truncate_thinking",
        )


def _resumed(body: CompletionRequest, context: ServerContext) -> CompletionsRequest:
    """A request that continues a completion, or branches off one."""
    served = context.models.named(body.model)
    own = ("max_tokens", "top_logprobs", "sampled_logprobs", "return_token_ids")
    options = _options(body, served, context)
    given = {name: options.get(name) for name in own}
    if body.branch_from is not None:  # the limit of its parent unless the body says
        given["max_tokens"] = body.max_tokens
    generation = generation_from(body, served, context, **given)
    choices = choices_of(body.n, body.best_of, served.engine, streams=bool(body.stream))
    return CompletionsRequest(
        body=body,
        served=served,
        choices=choices,
        generations=_all(generation, choices),
        prompts=(None,),
    )


def _all(request: GenerationRequest, choices: Choices) -> tuple[GenerationRequest, ...]:
    """What runs for a prompt. In a stream, a choice cannot wait for the first one's logprobs."""
    each = bool(request.mods) or request.stream
    return choices.generations(request, all_with_prompt_logprobs=each)


def _options(
    body: CompletionRequest, served: ServedModel, context: ServerContext
) -> RequestOptions:
    options = generation_options(body, served, context)
    options["max_tokens"] = _MAX_TOKENS if body.max_tokens is None else body.max_tokens
    options["top_logprobs"] = body.logprobs
    check_sampled_logprobs(asked=body.sampled_logprobs, has_logprobs=body.logprobs is not None)
    options["sampled_logprobs"] = bool(body.sampled_logprobs)
    options["prompt_logprobs"] = _prompt_logprobs(body)
    # The last token has a log-probability too, although it may have no text.
    has_tokens = bool(body.return_token_ids or body.echo or body.logprobs is not None)
    options["return_token_ids"] = has_tokens
    return options


def _prompt_logprobs(body: CompletionRequest) -> int | None:
    """The alternatives to each token of the prompt; `None` if neither field asks for them."""
    asked = [body.prompt_logprobs, body.logprobs if body.echo else None]
    return max((number for number in asked if number is not None), default=None)


def _generation(
    body: CompletionRequest,
    prompt: str | Sequence[int],
    served: ServedModel,
    options: RequestOptions,
    at: str,
) -> GenerationRequest:
    """Make the request to the engine for one prompt; its errors name the prompt."""
    response_format = body.response_format and body.response_format.plain
    try:
        return build_request(
            _token_ids(prompt, body, served),
            served.chat,
            served.info,
            schemas=Schemas(response_format=response_format),
            output=output_format(body, response_format),
            **options,
        )
    except RequestError as exc:
        if exc.param and exc.param.startswith("prompt"):
            exc.param = at + exc.param.removeprefix("prompt")
        raise


def _token_ids(prompt: str | Sequence[int], body: CompletionRequest, served: ServedModel) -> Prompt:
    if isinstance(prompt, str):
        if body.add_special_tokens is not False or not prompt:
            return prompt
        return served.chat.encode(prompt, adds_special=False)
    size = served.info.vocab_size
    for i, token_id in enumerate(prompt):
        if token_id >= size:
            raise InvalidRequestError(
                f"{token_id} is not the id of one of this model's {size} tokens",
                param=f"prompt[{i}]",
            )
    return prompt
