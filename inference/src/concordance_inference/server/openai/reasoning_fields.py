"""Fields about a model's reasoning, in our spelling and in those of other servers."""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeVar

from concordance_shared import InvalidRequestError
from msgspec import Meta, Struct

from concordance_inference.chat.placed_reasoning import ReasoningPlace
from concordance_inference.chat.reasoning_choice import ReasoningChoice
from concordance_inference.server.openai.generation_fields import GenerationFields
from concordance_inference.server.openai.reasoning_names import ReasoningField
from concordance_inference.server.openai.unsupported import Harmless

Effort = Annotated[str, Meta(min_length=1, max_length=32)]

Value = TypeVar("Value", str, bool, int)

#: Tokens; -1 is no limit, as in llama.cpp.
Budget = Annotated[int, Meta(ge=-1, le=2**53)]

#: Fields with the most tokens of the reasoning: vLLM's, Qwen's, llama.cpp's, and others'.
BUDGETS = (
    "thinking_token_budget",
    "thinking_budget",
    "thinking_budget_tokens",
    "reasoning_budget",
    "reasoning_budget_tokens",
    "max_thinking_tokens",
    "max_reasoning_tokens",
)


#: The fields in requests without messages, with the values that change nothing there.
HARMLESS: dict[str, Harmless] = {
    "reasoning_effort": (),
    "reasoning": (),
    "thinking": (),
    "enable_thinking": (),
    **dict.fromkeys(BUDGETS, (-1,)),
    "include_reasoning": (True,),
    "separate_reasoning": (True, False),
    "stream_reasoning": (True, False),
    "reasoning_format": ("auto", "none", "raw"),
    "reasoning_field": ("both", "reasoning", "reasoning_content"),
}


class ReasoningObject(Struct, kw_only=True):
    """The field `reasoning`, as in OpenAI's newer API and OpenRouter's."""

    effort: Effort | None = None
    max_tokens: Budget | None = None
    enabled: bool | None = None
    exclude: bool | None = None
    summary: str | None = None


class ThinkingObject(Struct, kw_only=True):
    """The field `thinking`, as in Anthropic's and DeepSeek's APIs."""

    type: Literal["enabled", "disabled", "adaptive", "auto"]
    budget_tokens: Budget | None = None


class ReasoningFields(GenerationFields, kw_only=True):
    """The fields of a chat request about reasoning."""

    reasoning_effort: Effort | None = None
    reasoning: ReasoningObject | None = None
    thinking: ThinkingObject | bool | None = None
    enable_thinking: bool | None = None
    thinking_token_budget: Budget | None = None
    thinking_budget: Budget | None = None
    thinking_budget_tokens: Budget | None = None
    reasoning_budget: Budget | None = None
    reasoning_budget_tokens: Budget | None = None
    max_thinking_tokens: Budget | None = None
    max_reasoning_tokens: Budget | None = None
    include_reasoning: bool | None = None
    separate_reasoning: bool | None = None
    stream_reasoning: bool | None = None
    reasoning_format: Literal["auto", "deepseek", "parsed", "none", "raw", "hidden"] | None = None
    reasoning_field: ReasoningField | None = None


def reasoning_choice(body: ReasoningFields) -> ReasoningChoice:
    """Return how much a request lets the model reason.

    Raises:
        InvalidRequestError: Two fields contradict each other; `param` is one of them.
    """
    effort = _only(_efforts(body))
    is_on = _only(_switches(body))
    budget = _only(_budgets(body))
    params = [said[0] for said in (effort, is_on, budget) if said]
    if effort and is_on and (effort[1] != "none") != is_on[1]:
        raise _contradiction(effort[0], is_on[0])
    return ReasoningChoice(
        effort=effort[1] if effort else None,
        is_on=is_on[1] if is_on else None,
        max_tokens=budget[1] if budget and budget[1] >= 0 else None,
        param=params[0] if params else "reasoning_effort",
    )


def _efforts(body: ReasoningFields) -> Iterator[tuple[str, str]]:
    if body.reasoning_effort is not None:
        yield "reasoning_effort", body.reasoning_effort
    if body.reasoning and body.reasoning.effort is not None:
        yield "reasoning.effort", body.reasoning.effort


def _switches(body: ReasoningFields) -> Iterator[tuple[str, bool]]:
    if body.enable_thinking is not None:
        yield "enable_thinking", body.enable_thinking
    if isinstance(body.thinking, bool):
        yield "thinking", body.thinking
    elif body.thinking and body.thinking.type in ("enabled", "disabled"):
        yield "thinking.type", body.thinking.type == "enabled"
    if body.reasoning and body.reasoning.enabled is not None:
        yield "reasoning.enabled", body.reasoning.enabled


def _budgets(body: ReasoningFields) -> Iterator[tuple[str, int]]:
    for name in BUDGETS:
        if (value := getattr(body, name)) is not None:
            yield name, value
    if isinstance(body.thinking, ThinkingObject) and body.thinking.budget_tokens is not None:
        yield "thinking.budget_tokens", body.thinking.budget_tokens
    if body.reasoning and body.reasoning.max_tokens is not None:
        yield "reasoning.max_tokens", body.reasoning.max_tokens


def _only(given: Iterator[tuple[str, Value]]) -> tuple[str, Value] | None:
    """The field that is given; several must have the same value."""
    first = next(given, None)
    if first is None:
        return None
    for name, value in given:
        if value != first[1]:
            raise _contradiction(first[0], name)
    return first


def _contradiction(first: str, second: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{first} and {second} contradict each other; leave out one of them", param=second
    )


def reasoning_place(body: ReasoningFields) -> ReasoningPlace:
    """Return where a response has the reasoning.

    Raises:
        InvalidRequestError: Two fields contradict each other; `param` is one of them.
    """
    places = dict(_places(body))
    if len({*places.values()}) > 1:
        raise _contradiction(*list(places)[:2])
    if places:
        return next(iter(places.values()))
    return "apart at once" if body.stream_reasoning is False else "apart"


def _places(body: ReasoningFields) -> Iterator[tuple[str, ReasoningPlace]]:
    if body.reasoning_format in ("none", "raw"):
        yield "reasoning_format", "content"
    if body.reasoning_format == "hidden":
        yield "reasoning_format", "nowhere"
    if body.separate_reasoning is False:
        yield "separate_reasoning", "content"
    if body.include_reasoning is False:
        yield "include_reasoning", "nowhere"
    if body.reasoning and body.reasoning.exclude:
        yield "reasoning.exclude", "nowhere"
