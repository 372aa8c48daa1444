"""`LLM.resume`: the request that continues a completion."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from concordance_shared import InvalidRequestError

from concordance_inference.chat.request import check_ends, check_logit_bias
from concordance_inference.generation import GenerationRequest, ModCall, SamplingParams
from concordance_inference.llm_options import Mod, checked_options, resolve_mods

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concordance_inference.completion import Completion
    from concordance_inference.mods.catalog import ModCatalog
    from concordance_inference.runtime import Runtime

#: Options that are those of the completion unless they are given.
_KEPT = ("stop_token_ids", "ignore_eos", "min_tokens")


class ResumeOptions(TypedDict, total=False):
    """The options of `LLM.resume`, as in `GenerateOptions`.

    `max_tokens`, `logprobs` and `sampled_logprobs` are for the new tokens. The others are those of
    the completion unless they are given, and hold from the cut on.
    """

    max_tokens: int | None
    logprobs: bool | int | None
    sampled_logprobs: bool
    mods: "Sequence[Mod]"
    stop: "str | Sequence[str]"
    stop_token_ids: "Sequence[int]"
    ignore_eos: bool
    min_tokens: int
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    xtc_probability: float | None
    xtc_threshold: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[int, float] | None
    seed: int | None


def resumed(
    runtime: "Runtime",
    catalog: "ModCatalog",
    completion: "Completion | str",
    options: Mapping[str, object],
) -> "tuple[Runtime, GenerationRequest]":
    """Return the request that continues a completion, and what runs it.

    Args:
        runtime: Runs it.
        catalog: The mods that the options can name.
        completion: The completion, or its id.
        options: The options.

    Raises:
        ConcordanceError: The completion cannot be continued, or an option is wrong.
    """
    given = {**options}
    mods = resolve_mods(given.pop("mods"), catalog) if "mods" in given else None
    completion_id = completion if isinstance(completion, str) else completion.id
    changes = changes_of(runtime, given, mods, "LLM.resume")
    return runtime, runtime.prepare(runtime.resume(completion_id, changes))


def changes_of(
    runtime: "Runtime",
    given: Mapping[str, object],
    mods: tuple[ModCall, ...] | None,
    method: str,
) -> dict[str, Any]:
    """Return the fields of a request that differ from those of the completion it begins with.

    Args:
        runtime: Runs it.
        given: The options, without mods.
        mods: Its mods; `None` for those of the completion.
        method: The method that has the options, for messages.

    Raises:
        InvalidRequestError: An option is wrong.
    """
    known = ResumeOptions.__annotations__
    for name in given:
        if name not in known:
            raise InvalidRequestError(
                f"{method}: there is no option {name!r}; the options are: "
                f"{', '.join(sorted(known))}. A completion continues with the prompt, the tools "
                "and the format that it has begun with",
                param=name,
            )
    options = checked_options(given)
    size = runtime.model.vocab_size
    check_logit_bias(options.logit_bias, size)
    check_ends({"stop_token_ids": options.stop_token_ids}, size)
    names = [each for each in SamplingParams.__struct_fields__ if given.get(each) is not None]
    changes: dict[str, Any] = {
        "max_tokens": options.max_tokens,
        "top_logprobs": options.top_logprobs,
        "sampled_logprobs": options.sampled_logprobs,
        "sampling": {name: getattr(options, name) for name in names},
        "stream": True,
        "show_tokens": True,
        **{name: getattr(options, name) for name in _KEPT if name in given},
    }
    if "stop" in given:
        changes["stop"] = options.stop_strings
    if mods is not None:
        changes["mods"] = mods
    return changes
