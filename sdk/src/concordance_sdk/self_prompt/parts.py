"""What a self-prompt is made of, in every form that an author may give it."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from concordance_shared import ConstraintError
from msgspec.structs import replace

from concordance_sdk.constraints import ChoicesStrat, Constraint, ListStrat

Prompt = str | Sequence[int] | Mapping[str, Any]


def prompt_of(prompt: object) -> str | list[int]:
    """A prompt as text or as token ids."""
    if isinstance(prompt, Mapping):
        given = cast(Mapping[str, Any], prompt)
        prompt = given.get("tokens", given.get("text"))
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    if isinstance(prompt, Sequence) and all(isinstance(i, int) for i in cast(list[object], prompt)):
        return list(cast(Sequence[int], prompt))
    raise ConstraintError(
        "the prompt of a SelfPrompt is a text, a list of token ids, or a mapping with one of them "
        f"as 'text' or 'tokens', not {prompt!r:.60}"
    )


def completion_of(completion: object) -> str:
    """The text of a completion; empty for none."""
    if isinstance(completion, Mapping):
        given = cast(Mapping[str, Any], completion)
        completion = given.get("suffix") if given.get("force", True) else None
    if completion is None or isinstance(completion, str):
        return completion or ""
    raise ConstraintError(
        "the completion of a SelfPrompt is a text, or a mapping with it as 'suffix', not "
        f"{completion!r:.60}"
    )


def with_choices(strategy: Constraint, choices: list[str], idx: int | None) -> Constraint:
    """A strategy with other choices."""
    match strategy:
        case ChoicesStrat():
            return ChoicesStrat(choices)
        case ListStrat(elements) if strategy.is_tuple:
            fixed = list(cast(Sequence[Constraint], elements))
            if idx is None or not 0 <= idx < len(fixed):
                raise ConstraintError(
                    f"`idx` says which of the {len(fixed)} elements gets other choices, from 0 on; "
                    f"it is {idx}"
                )
            fixed[idx] = with_choices(fixed[idx], choices, None)
            return replace(strategy, elements=fixed)
        case ListStrat(elements):
            element = cast(Constraint, elements)
            return replace(strategy, elements=with_choices(element, choices, None))
        case _:
            raise ConstraintError(
                "refresh_responses changes a ChoicesStrat, or one in a ListStrat, not "
                f"{strategy!r:.60}"
            )
