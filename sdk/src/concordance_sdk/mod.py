"""`@mod`: marks a function or class as a mod, checks it, and changes nothing about it."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar, overload

from concordance_shared import Event, ModDefinitionError

from concordance_sdk.definition import DEFAULT_MAX_BACKTRACK, ModDefinition, define
from concordance_sdk.registry import current_registry

_MARK = "__concordance_mod__"

Target = TypeVar("Target", bound=Callable[..., Any])


@overload
def mod(target: Target, /) -> Target: ...


@overload
def mod(
    *,
    name: str | None = None,
    max_backtrack: int | None = DEFAULT_MAX_BACKTRACK,
    on: Collection[type[Event]] | None = None,
) -> Callable[[Target], Target]: ...


def mod(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    max_backtrack: int | None = DEFAULT_MAX_BACKTRACK,
    on: Collection[type[Event]] | None = None,
) -> Any:
    """Mark a function or a class as a mod, register it, and return that same object.

    A function is called for every event, or for those in `on`. A class gets one instance per
    request and has a method for each event that it wants: `prefilled`, `forward_pass`, `sampled`,
    `added`, `finished`; its annotated attributes are parameters. Handlers take
    `(event, actions)` or `(event, actions, tokenizer)`.

    Args:
        target: The function or class.
        name: What requests call it; the function's or class's own name in lower case if left out.
        max_backtrack: How many of the last tokens it may take back in a stream, which holds back
            as many. `None`: the whole completion. It is 0 for a mod that handles no event at
            which tokens can be taken back.
        on: For a function: the events that it wants.

    Raises:
        ModDefinitionError: It cannot be a mod; the message says why, where, and what is right.
    """

    def mark(marked: Any) -> Any:
        definition = define(marked, name=name, max_backtrack=max_backtrack, on=on)
        setattr(marked, _MARK, definition)
        current_registry().add(definition)
        return marked

    return mark if target is None else mark(target)


def definition_of(target: Any) -> ModDefinition:
    """The definition of a mod: of one that is marked, or of a bare callable.

    Raises:
        ModDefinitionError: It is neither.
    """
    if isinstance(target, ModDefinition):
        return target
    marked = vars(target).get(_MARK) if hasattr(target, "__dict__") else None
    if isinstance(marked, ModDefinition):
        return marked
    if not callable(target):
        raise ModDefinitionError(f"{target!r:.80} is not a mod; mark a function or class with @mod")
    return define(target)
