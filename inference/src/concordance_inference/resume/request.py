"""The request that continues a completion."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from concordance_sdk.detokenizer import Detokenizer
from concordance_shared.prompt_length import check_prompt_length
from msgspec.structs import replace

from concordance_inference.caller import current_owner
from concordance_inference.engine.output.stop import StopStrings
from concordance_inference.engine.output.text_stream import TextStream
from concordance_inference.generation import (
    GenerationRequest,
    ModCall,
    new_request_id,
)
from concordance_inference.resume.beginning import Beginning
from concordance_inference.resume.ended import EndedCompletion

#: Fields that say what a response has, which are not those of the earlier request.
_NOT_KEPT: Mapping[str, Any] = {
    "max_tokens": None,
    "stream": False,
    "include_retractions": False,
    "show_tokens": False,
    "show_progress": False,
    "return_token_ids": False,
    "top_logprobs": None,
    "sampled_logprobs": False,
    "prompt_logprobs": None,
    "truncate_thinking": None,
    "truncate_response": None,
    "trace": None,
    "recorder": None,
}


def resumed_request(
    ended: EndedCompletion,
    changes: Mapping[str, Any],
    *,
    new_decoder: Callable[..., Detokenizer],
    context_length: int,
) -> GenerationRequest:
    """Return the request that continues a completion; it differs by `changes`.

    Args:
        ended: The completion.
        changes: Fields of the request. `sampling` has the parameters that change, by name; `mods`
            replace those that the client chose.
        new_decoder: Makes a detokenizer, as `ModelTraits.new_decoder`.
        context_length: The model's.

    Raises:
        ContextLengthError: The completion fills the context.
    """
    resumed = replace(changed_request(ended, changes), request_id=new_request_id(), branch=None)
    beginning = beginning_of(ended, resumed, new_decoder)
    resumed = replace(resumed, beginning=beginning)
    check_prompt_length(
        resumed.num_given,
        context_length,
        param="resume_from",
        remedy="start a shorter conversation",
    )
    return resumed


def changed_request(ended: EndedCompletion, changes: Mapping[str, Any]) -> GenerationRequest:
    """Return the request of a completion with changes, its prompt as mods left it.

    Args:
        ended: The completion.
        changes: As those of `resumed_request`.
    """
    request, changes = ended.request, dict(changes)
    sampling = {"seed": ended.seed, **changes.pop("sampling", {})}
    if "mods" in changes:
        named = changes["mods"]
        changes["mods"] = (*named, *_own_mods(request))
        changes["num_named_mods"] = len(named)
    return replace(
        request,
        prompt_ids=tuple(ended.token_ids[: ended.prompt_len]),
        sampling=replace(request.sampling, **sampling),
        instances=None,
        owner=current_owner(),
        **{**_NOT_KEPT, **changes},
    )


def _own_mods(request: GenerationRequest) -> Sequence[ModCall]:
    """The mods that the client did not choose: they enforce other fields of the request."""
    banned = (call for call in request.mods[: request.num_named_mods] if _is_field(call))
    return (*banned, *request.mods[request.num_named_mods :])


def _is_field(call: ModCall) -> bool:
    return call.definition.name == "banned_strings"


def beginning_of(
    ended: EndedCompletion,
    request: GenerationRequest,
    new_decoder: Callable[..., Detokenizer],
) -> Beginning:
    """Return the beginning of the request that continues a completion.

    Args:
        ended: The completion.
        request: The request.
        new_decoder: Makes a detokenizer, as `ModelTraits.new_decoder`.
    """
    token_ids = tuple(ended.token_ids[ended.prompt_len :])
    return Beginning(
        completion_id=ended.request.request_id,
        token_ids=token_ids,
        forced_by=tuple(ended.forced_by),
        num_sampled=ended.num_sampled,
        dropped=ended.dropped,
        dropped_by=ended.dropped_by,
        was_streamed=ended.request.stream,
        **_texts(token_ids, request, new_decoder),
    )


def _texts(
    token_ids: Sequence[int],
    request: GenerationRequest,
    new_decoder: Callable[..., Detokenizer],
) -> dict[str, Any]:
    """The fields for what a stream of the request has sent, and for all of the text."""
    skipped = frozenset(request.stop_token_ids).difference(request.kept_ids)
    stream = TextStream(
        new_decoder(skipped=skipped, kept=request.kept_ids),
        StopStrings(request.stop),
        marked=request.kept_ids,
        given=token_ids,
    )
    delta = stream.delta(len(token_ids))
    return {
        "text": delta.text if delta else "",
        "marks": delta.marks if delta else (),
        "shown": stream.text(),
        "shown_marks": stream.marks(),
    }
