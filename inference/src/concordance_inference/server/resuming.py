"""The field `resume_from`: requests that continue a completion, for every API alike."""

from collections.abc import Iterable, Mapping
from typing import Any

from concordance_shared import InvalidRequestError
from msgspec import UNSET, Raw

from concordance_inference.chat.request import check_ends
from concordance_inference.generation import GenerationRequest, SamplingParams
from concordance_inference.resume.ended import UnknownCompletionError
from concordance_inference.server.completion_ids import check_api
from concordance_inference.server.context import ServerContext
from concordance_inference.server.openai.generation_fields import (
    GenerationFields,
    generation_options,
    refuse_retractions,
)
from concordance_inference.server.openai.output_fields import OutputFields
from concordance_inference.server.openai.reasoning_fields import BUDGETS
from concordance_inference.server.served_models import ServedModel

#: Fields that made the prompt of the completion, or its grammar. A body cannot change them.
_FIXED = (
    *("messages", "prompt", "input", "system", "instructions", "previous_response_id"),
    *("tools", "tool_choice", "parallel_tool_calls", "response_format", "text"),
    *("output_config", "output_format", "reasoning", "thinking", "reasoning_effort"),
    *("enable_thinking", *BUDGETS, *OutputFields.__struct_fields__, "banned_strings"),
    *("chat_template_kwargs", "verbosity", "add_generation_prompt", "continue_final_message"),
    *("allow_control_tokens", "add_special_tokens", "prompt_logprobs", "echo", "truncation"),
    "hosted_tools",
)

#: A field that is decoded later, and is null.
_NULL = Raw(b"null")

#: Fields that hold from the cut on, and are those of the earlier request if they are left out.
_KEPT = ("stop", "stop_token_ids", "ignore_eos", "min_tokens", "loop_detection")


def resumed_generation(
    body: GenerationFields,
    served: ServedModel,
    context: ServerContext,
    *,
    stop: Iterable[str] | None = None,
    **options: Any,
) -> GenerationRequest:
    """Return the request that continues the completion `body.resume_from`.

    Args:
        body: The body.
        served: The model that it names.
        context: The server's.
        stop: Stop strings, if the API has another field for them.
        options: The fields that each API names in its own way, such as `max_tokens`.

    Raises:
        ConcordanceError: There is no such completion, it cannot be continued, or a field is wrong.
    """
    assert body.resume_from is not None
    check_api(body.resume_from, body.id_prefix)
    refuse_fixed(body, "resume_from")
    refuse_retractions(body, "resume_from")
    changes = changes_of(body, served, context, stop=stop, **options)
    request = served.engine.resume(body.resume_from, changes)
    if body.cache_salt is not None and body.cache_salt != request.cache_salt:
        raise UnknownCompletionError(
            f"resume_from: no completion {body.resume_from!r:.80} is kept for this cache_salt",
            param="resume_from",
        )
    return request


def refuse_fixed(body: GenerationFields, field: str) -> None:
    """Refuse the fields that made the prompt of an earlier completion.

    Args:
        body: The body.
        field: Its field that names the completion.

    Raises:
        InvalidRequestError: It has one of them; `param` is its name.
    """
    for name in _FIXED:
        value = getattr(body, name, None)
        if value is None or value is UNSET or value in ([], "", {}, _NULL):
            continue
        raise InvalidRequestError(
            f"{name}: a request with {field} continues a completion, with the {name} that it "
            "has begun with; leave it out",
            param=name,
        )


def changes_of(
    body: GenerationFields,
    served: ServedModel,
    context: ServerContext,
    *,
    stop: Iterable[str] | None = None,
    **own: Any,
) -> Mapping[str, Any]:
    """Return the fields of the request that differ from those of the earlier one.

    Args:
        body: The body.
        served: The model that it names.
        context: The server's.
        stop: Stop strings, if the API has another field for them.
        own: The fields that each API names in its own way, such as `max_tokens`.

    Raises:
        ConcordanceError: A field is wrong, or names a mod that is not there.
    """
    options: dict[str, Any] = {**generation_options(body, served, context)}
    params = options.pop("sampling")
    given = [name for name in SamplingParams.__struct_fields__ if getattr(body, name) is not None]
    for name in _KEPT:
        if getattr(body, name) is None:
            options.pop(name, None)
    if body.mods is None and not served.mods:
        del options["mods"]
    del options["cache_salt"]
    changes = {**options, "sampling": {name: getattr(params, name) for name in given}, **own}
    if stop is not None:
        changes["stop"] = tuple(stop)
    check_ends({"stop_token_ids": changes.get("stop_token_ids", ())}, served.info.vocab_size)
    return changes


def about_resuming(body: GenerationFields) -> dict[str, Any]:
    """Return the field of `concordance` that names the completion that was continued."""
    return {} if body.resume_from is None else {"resumed_from": body.resume_from}
