"""What is enforced in the completion of a request, and how the completion is read."""

from collections.abc import Sequence

import msgspec
from concordance_sdk.hosted_tool import HostedTool

from concordance_inference.chat.channels import channels_of
from concordance_inference.chat.format import ChatFormat
from concordance_inference.chat.reasoning_choice import ReasoningChoice, budget_mods
from concordance_inference.generation import GenerationRequest
from concordance_inference.harmony.content_mod import with_contents
from concordance_inference.harmony.turn import HarmonyTurn, turn_after
from concordance_inference.harmony.vocabulary import HarmonyTokens
from concordance_inference.mods.call_mod import with_calls
from concordance_inference.mods.format_mod import with_format
from concordance_inference.output_format import OutputFormat
from concordance_inference.reasoning import Reasoning, Tags, opened_tag, opened_within
from concordance_inference.tools.call_output import enforced_output

#: The prompt's tokens in which the tag that opens a reasoning is searched.
_PROMPT_TAIL = 32


def enforced_request(
    request: GenerationRequest,
    chat: ChatFormat,
    output: OutputFormat | None,
    choice: ReasoningChoice,
    hosted: Sequence[HostedTool],
    *,
    continues: bool,
) -> GenerationRequest:
    """Return a request with the mods and rules that enforce what it asks for.

    Args:
        request: The request, with the mods that it names.
        chat: The format of the model.
        output: The format of the content; `None` for free text.
        choice: How much the model reasons.
        hosted: The tools that the server runs.
        continues: The completion continues the last message.

    Raises:
        InvalidRequestError: Two things that it asks for cannot hold together.
    """
    opened = opened_tag(_end(request.prompt_ids, chat))
    last = request.conversation.messages[-1:]
    continued = last[0].text if continues and last else None
    tagged = _reasoning(chat, opened, continued)
    channels = channels_of(chat, tagged, request.prompt_ids, request.offer)
    budgets = budget_mods(choice, tagged, chat.options, channels)
    request = msgspec.structs.replace(
        request,
        reasoning=tagged,
        channels=channels,
        mods=(*request.mods, *budgets),
    )
    if chat.harmony is not None and last:
        may_reason = choice.reasons is not False
        return _in_harmony(request, chat, chat.harmony, output, hosted, may_reason=may_reason)
    return _by_template(request, chat, output, opens=opened is not None)


def _in_harmony(
    request: GenerationRequest,
    chat: ChatFormat,
    tokens: HarmonyTokens,
    output: OutputFormat | None,
    hosted: Sequence[HostedTool],
    *,
    may_reason: bool,
) -> GenerationRequest:
    """A request whose completion has messages with headers."""
    turn = turn_after(request.prompt_ids, tokens, chat.token_bytes)
    offer, stop_ids = request.offer, request.stop_token_ids
    return msgspec.structs.replace(
        request,
        harmony=turn,
        hosted=tuple(hosted),
        token_rules=chat.token_rules(
            offer, may_reason=may_reason, has_format=output is not None, hosted=hosted
        ),
        kept_ids=turn.kept_ids(continues=request.ignore_eos),
        mods=with_contents(request.mods, tokens, output, offer, stop_ids),
    )


def _by_template(
    request: GenerationRequest, chat: ChatFormat, output: OutputFormat | None, *, opens: bool
) -> GenerationRequest:
    """A request whose completion is marked by texts, if at all."""
    offer, tagged, stop_ids = request.offer, request.reasoning, request.stop_token_ids
    kept_ids: tuple[int, ...] = ()
    if chat.harmony is not None:  # a prompt as text, whose client reads the channels
        kept_ids = HarmonyTurn(tokens=chat.harmony).kept_ids(continues=request.ignore_eos)
    elif request.conversation.messages:
        kept_ids = (*chat.marker_ids, *(offer.shown_ids if offer else ()))
    enforced = enforced_output(output, offer, may_reason=tagged is not None)
    mods = with_format(request.mods, enforced, opens=opens, stop_token_ids=stop_ids)
    if offer and mods == request.mods:
        mods = with_calls(mods, offer, tagged, kept_ids, stop_ids)
    return msgspec.structs.replace(request, kept_ids=kept_ids, mods=mods)


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


def _end(prompt_ids: Sequence[int], chat: ChatFormat) -> str:
    """The end of a prompt as text, special tokens by name."""
    end = b"".join(map(chat.token_bytes, prompt_ids[-_PROMPT_TAIL:]))
    return end.decode(errors="replace")
