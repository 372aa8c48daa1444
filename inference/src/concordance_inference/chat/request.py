"""Builds the engine's requests: the one place that turns a prompt and options into one.

Used by the server, the command line and the Python API, so that each refuses the same prompts.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypedDict, Unpack, cast

from concordance_shared import (
    Conversation,
    InvalidRequestError,
    Message,
    Schemas,
)
from concordance_shared.prompt_length import check_prompt_length
from concordance_shared.surrogates import surrogate_fault

from concordance_inference.chat.channels import channels_of
from concordance_inference.chat.format import ChatFormat
from concordance_inference.chat.reasoning_choice import (
    FREE,
    ReasoningChoice,
    budget_mods,
    template_variables,
)
from concordance_inference.chat.rendering import FIELDS as RENDERING_FIELDS
from concordance_inference.chat.rendering import USUAL, Rendering
from concordance_inference.chat.truncation import Truncation, room_for_prompt, shortened
from concordance_inference.generation import (
    GenerationRequest,
    ModCall,
    ModelInfo,
    SamplingParams,
    new_request_id,
)
from concordance_inference.harmony.content_mod import with_contents
from concordance_inference.harmony.turn import HarmonyTurn, turn_after
from concordance_inference.loop_detection import LoopDetection, chosen
from concordance_inference.mods.call_mod import with_calls
from concordance_inference.mods.format_mod import with_format
from concordance_inference.output_format import OutputFormat, format_of
from concordance_inference.reasoning import Reasoning, Tags, opened_tag, opened_within
from concordance_inference.tools.call_output import enforced_output
from concordance_inference.tools.offer import AUTO, ToolChoice, tool_offer

#: The prompt's tokens in which the tag that opens a reasoning is searched.
_PROMPT_TAIL = 32

#: Messages are rendered by the chat template; text and token ids are continued as they are.
Prompt = str | Sequence[int] | Sequence[Message]


class RequestOptions(TypedDict, total=False):
    """The fields of a `GenerationRequest` that a caller may choose."""

    max_tokens: int | None
    sampling: SamplingParams
    stop: tuple[str, ...]
    stop_token_ids: tuple[int, ...]
    ignore_eos: bool
    min_tokens: int
    mods: tuple[ModCall, ...]
    stream: bool
    include_retractions: bool
    show_tokens: bool
    show_progress: bool
    return_token_ids: bool
    prompt_logprobs: int | None
    top_logprobs: int | None
    sampled_logprobs: bool
    loop_detection: LoopDetection
    truncate_thinking: int | None
    truncate_response: int | None
    cache_salt: str


def build_request(  # noqa: PLR0913  # the parts of a request
    prompt: Prompt,
    chat: ChatFormat,
    model: ModelInfo,
    *,
    schemas: Schemas | None = None,
    template_options: Mapping[str, Any] | None = None,
    rendering: Rendering = USUAL,
    output: OutputFormat | None = None,
    reasoning: ReasoningChoice = FREE,
    tool_choice: ToolChoice = AUTO,
    truncation: Truncation = "disabled",
    **options: Unpack[RequestOptions],
) -> GenerationRequest:
    """Check the options, render the prompt, and make a request.

    Args:
        prompt: Messages, text, or token ids.
        chat: Renders messages and encodes text.
        model: The model that will run the request.
        schemas: Tools, and the response format, which is enforced.
        template_options: Variables of the chat template.
        rendering: How it ends the prompt, and what may be control tokens in messages.
        output: A format that is not a response format, enforced in its place.
        reasoning: How much the model reasons.
        tool_choice: How the model may call the tools.
        truncation: `auto`: the oldest turns are left out where the messages do not fit.
        options: The request's other fields.

    Raises:
        InvalidRequestError: An option does not fit the model, or the prompt is empty.
        ContextLengthError: The prompt leaves no room for a completion.
    """
    schemas = schemas or Schemas()
    check_logit_bias(options.get("sampling", SamplingParams()).logit_bias, model.vocab_size)
    check_ends(options, model.vocab_size)
    for name in template_options or ():
        check_template_option(name, f"chat_template_kwargs.{name:.80}", chat.options)
    _check_unicode(template_options, "chat_template_kwargs")
    _check_unicode(schemas.tools, "tools")
    _check_unicode(schemas.response_format, "response_format")
    offer = tool_offer(schemas.tools, tool_choice, chat.tool_format)
    if rendering != USUAL and (isinstance(prompt, str) or not _is_chat(prompt)):
        raise InvalidRequestError(
            f"{', '.join(RENDERING_FIELDS)}: they belong to messages, which a chat template "
            "renders; a text or token ids are continued as they are",
            param="prompt",
        )
    if reasoning.effort is not None and (isinstance(prompt, str) or not _is_chat(prompt)):
        raise InvalidRequestError(
            f"{reasoning.param}: the chat template reads it, and a text or token ids are continued "
            "as they are; leave it out, or give messages",
            param=reasoning.param,
        )
    # Rendering comes last: it takes far longer than the checks.
    messages: tuple[Message, ...] = ()
    if isinstance(prompt, str):
        _check_unicode(prompt, "prompt")
        prompt_ids = chat.encode(prompt)
    elif _is_chat(prompt):
        messages = tuple(cast(Sequence[Message], prompt))
        for i, message in enumerate(messages):
            _check_message(message, f"messages[{i}]")
        variables = template_variables(
            reasoning, template_options or {}, chat.options, can_reason=chat.can_reason
        )
        tools = () if offer is None else schemas.tools
        render = partial(
            chat.render,
            tools=tools,
            options=variables,
            rendering=rendering,
            response_format=schemas.response_format,
        )
        messages, prompt_ids = (
            shortened(
                messages,
                render,
                chat.count,
                room_for_prompt(model.context_length, options.get("max_tokens")),
            )
            if truncation == "auto"
            else (messages, render(messages))
        )
    else:
        prompt_ids = cast(Sequence[int], prompt)
    _check_length(prompt_ids, model, is_rendered=bool(messages))
    opened = opened_tag(_end(prompt_ids, chat))
    last = messages[-1].text if messages else ""
    continued = last if rendering.continues_final_message else None
    tagged = _reasoning(chat, opened, continued)
    channels = channels_of(chat, tagged, prompt_ids)
    offer = offer if messages else None
    turn = (
        turn_after(prompt_ids, chat.harmony, chat.token_bytes)
        if chat.harmony and messages
        else None
    )
    rules = chat.token_rules(offer, may_reason=reasoning.reasons is not False) if turn else None
    kept_ids = (*chat.marker_ids, *(offer.shown_ids if offer else ())) if messages else ()
    if chat.harmony is not None:  # also for prompts as text, whose clients read the channels
        kept_ids = HarmonyTurn(tokens=chat.harmony).kept_ids(
            continues=options.get("ignore_eos", False)
        )
    enforced = enforced_output(
        output or format_of(schemas.response_format), offer, may_reason=tagged is not None
    )
    num_named = len(options.get("mods", ()))
    mods = (*options.get("mods", ()), *budget_mods(reasoning, tagged, chat.options, channels))
    stop_ids = options.get("stop_token_ids", ())
    options.setdefault("loop_detection", chosen(None, ignores_eos=options.get("ignore_eos", False)))
    if turn is not None:
        final = output or format_of(schemas.response_format)
        options["mods"] = with_contents(mods, turn.tokens, final, offer, stop_ids)
    else:
        options["mods"] = with_format(
            mods, enforced, opens=opened is not None, stop_token_ids=stop_ids
        )
    if turn is None and offer and options["mods"] == mods:
        options["mods"] = with_calls(mods, offer, tagged, kept_ids, stop_ids)
    return GenerationRequest(
        request_id=new_request_id(),
        prompt_ids=tuple(prompt_ids),
        conversation=Conversation(messages=messages, schemas=schemas),
        truncated_messages=len(prompt) - len(messages) if messages else 0,
        reasoning=tagged,
        channels=channels,
        stops_in_content=bool(messages),
        kept_ids=kept_ids,
        offer=offer,
        harmony=turn,
        token_rules=rules,
        num_named_mods=num_named,
        **options,
    )


def _reasoning(chat: ChatFormat, opened: Tags | None, continued: str | None) -> Reasoning | None:
    """How the reasoning of a completion is marked; `None` if it has none.

    Args:
        chat: The model's tags.
        opened: The tags that the prompt ends with.
        continued: The message that the completion continues, if any.
    """
    if continued is not None:
        opened = opened or opened_within(continued, chat.reasoning_tags)
        if opened is None:
            return None
    tags = tuple(dict.fromkeys(([opened] if opened else []) + [*chat.reasoning_tags]))
    return Reasoning(tags=tags, opened=opened) if tags else None


def _is_chat(prompt: Sequence[int] | Sequence[Message]) -> bool:
    return bool(prompt) and isinstance(prompt[0], Message)


def check_logit_bias(token_ids: Collection[int | str], vocab_size: int) -> None:
    """Refuse a bias of a token that the model does not have.

    Raises:
        InvalidRequestError: One is not the id of a token.
    """
    for token_id in token_ids:
        if not (isinstance(token_id, int) and 0 <= token_id < vocab_size):
            raise InvalidRequestError(
                f"logit_bias: {str(token_id)[:40]!r} is not the id of one of this model's "
                f"{vocab_size} tokens",
                param="logit_bias",
            )


def check_ends(options: RequestOptions, vocab_size: int) -> None:
    """Refuse stop tokens that the model does not have, and a minimum above the maximum.

    Raises:
        InvalidRequestError: `param` names the field.
    """
    for i, token_id in enumerate(options.get("stop_token_ids", ())):
        if not 0 <= token_id < vocab_size:
            raise InvalidRequestError(
                f"stop_token_ids[{i}]: {token_id} is not the id of one of this model's "
                f"{vocab_size} tokens",
                param=f"stop_token_ids[{i}]",
            )
    min_tokens, max_tokens = options.get("min_tokens", 0), options.get("max_tokens")
    if max_tokens is not None and min_tokens > max_tokens:
        raise InvalidRequestError(
            f"min_tokens is {min_tokens}, more than max_tokens, which is {max_tokens}; "
            f"lower it to at most {max_tokens}",
            param="min_tokens",
        )


def check_template_option(name: str, param: str, known: Collection[str]) -> None:
    """Refuse a variable that the chat template does not read.

    Args:
        name: The variable.
        param: The field of the request that sets it, for the message.
        known: The variables that the template reads.

    Raises:
        InvalidRequestError: The template does not read it.
    """
    if name not in known:
        raise InvalidRequestError(
            f"{param}: this model's chat template reads no variable of this name; it reads: "
            f"{', '.join(sorted(known)) or 'none'}",
            param=param,
        )


def _check_unicode(value: object, param: str) -> None:
    """Refuse a text with half of a surrogate pair: tokenizers take UTF-8."""
    if fault := surrogate_fault(value):
        raise InvalidRequestError(f"{param}: {fault}", param=param)


def _check_message(message: Message, at: str) -> None:
    if surrogate_fault(message):
        for name in message.__struct_fields__:
            _check_unicode(getattr(message, name), f"{at}.{name}")


def _end(prompt_ids: Sequence[int], chat: ChatFormat) -> str:
    """The end of a prompt as text, special tokens by name."""
    end = b"".join(map(chat.token_bytes, prompt_ids[-_PROMPT_TAIL:]))
    return end.decode(errors="replace")


def _check_length(prompt_ids: Sequence[int], model: ModelInfo, *, is_rendered: bool) -> None:
    if not prompt_ids:
        raise InvalidRequestError(
            "messages: the model's chat template renders them to no tokens"
            if is_rendered
            else "prompt: it is empty, and the model needs at least one token to continue from",
            param="messages" if is_rendered else "prompt",
        )
    param = "messages" if is_rendered else "prompt"
    remedy = "shorten them" if is_rendered else "shorten it"
    check_prompt_length(len(prompt_ids), model.context_length, param=param, remedy=remedy)
