"""How much a request lets the model reason: as variables of the chat template and as a mod."""

from collections.abc import Collection, Mapping
from typing import Any

from concordance_sdk.builtin import ReasoningBudget
from concordance_sdk.channels import ChannelFormat
from concordance_sdk.host import definition_of
from concordance_shared import InvalidRequestError
from msgspec import Struct

from concordance_inference.generation import ModCall
from concordance_inference.reasoning import Reasoning

#: Variables by which chat templates switch the reasoning on and off.
SWITCHES = ("enable_thinking", "thinking")

_EFFORT = "reasoning_effort"

#: The variable in which the template of Seed-OSS reads the budget.
_BUDGET = "thinking_budget"


class ReasoningChoice(Struct, frozen=True, kw_only=True):
    """What a request says about the reasoning. `None`: nothing.

    Attributes:
        effort: How much the model reasons, in the words of its chat template; `none`: not at all.
        is_on: Reason, or not.
        max_tokens: The most tokens of the reasoning, without its tags. 0 is not to reason.
        param: The field of the request that says so, for messages.
    """

    effort: str | None = None
    is_on: bool | None = None
    max_tokens: int | None = None
    param: str = _EFFORT

    @property
    def reasons(self) -> bool | None:
        """True if the model is to reason, False if not, `None` if it decides."""
        if self.is_on is not None:
            return self.is_on
        if self.effort is not None:
            return self.effort != "none"
        return False if self.max_tokens == 0 else None


#: The model reasons as its chat template has it.
FREE = ReasoningChoice()


def template_variables(
    choice: ReasoningChoice, given: Mapping[str, Any], known: Collection[str], *, can_reason: bool
) -> dict[str, Any]:
    """Return the variables of the chat template, with those that a choice sets.

    Args:
        choice: The choice.
        given: The variables that the request sets.
        known: The variables that the template reads.
        can_reason: The model knows tags for its reasoning.

    Raises:
        InvalidRequestError: The model cannot reason, or the request contradicts itself.
    """
    set_by_choice: dict[str, Any] = {}
    if choice.effort is not None and _EFFORT in known:
        set_by_choice[_EFFORT] = choice.effort
    if choice.reasons is not None:
        set_by_choice |= {name: choice.reasons for name in SWITCHES if name in known}
    if choice.max_tokens is not None and _BUDGET in known:
        set_by_choice[_BUDGET] = choice.max_tokens
    if choice.reasons and not set_by_choice and not can_reason:
        raise InvalidRequestError(
            f"{choice.param}: this model does not reason: its chat template reads neither "
            f"{_EFFORT} nor enable_thinking, and it has no tags for reasoning; leave it out",
            param=choice.param,
        )
    for name, value in set_by_choice.items():
        if name in given and given[name] != value:
            raise InvalidRequestError(
                f"{choice.param} and chat_template_kwargs.{name} contradict each other; leave "
                "out one of them",
                param=choice.param,
            )
    return {**given, **set_by_choice}


def budget_mods(
    choice: ReasoningChoice,
    reasoning: Reasoning | None,
    known: Collection[str],
    channels: ChannelFormat | None = None,
) -> tuple[ModCall, ...]:
    """Return the mods that end the reasoning of a completion once it has its most tokens.

    A model whose template cannot switch the reasoning off has it ended at once; one that writes
    messages with headers does not begin it.

    Args:
        choice: The choice.
        reasoning: How the reasoning is marked.
        known: The variables that the template reads.
        channels: How tokens divide the completion into channels.
    """
    if channels is not None and channels.has_headers:
        limit = 0 if choice.reasons is False else choice.max_tokens
        return () if limit is None else (_budget({"max_tokens": limit}),)
    max_tokens = choice.max_tokens
    if choice.reasons is False and not any(name in known for name in (*SWITCHES, _EFFORT)):
        max_tokens = 0
    if max_tokens is None or reasoning is None:
        return ()
    tags = (reasoning.opened,) if reasoning.opened else reasoning.tags
    return tuple(
        _budget({"max_tokens": max_tokens, "open_tag": opening, "close_tag": closing})
        for opening, closing in tags
    )


def _budget(parameters: Mapping[str, Any]) -> ModCall:
    defaults = {"open_tag": "", "close_tag": "", "closing": ""}
    return ModCall(
        definition=_DEFINITION, parameters={**defaults, **parameters}, name="reasoning_budget"
    )


_DEFINITION = definition_of(ReasoningBudget)
