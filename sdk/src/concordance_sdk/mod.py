"""`@mod`: marks a function or class as a mod, checks it, and changes nothing about it."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar, overload

from concordance_shared import Event, ModDefinitionError

from concordance_sdk.declared_logits import LogitsNeed
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
    logits: LogitsNeed | None = None,
    registered: bool = True,
) -> Callable[[Target], Target]: ...


def mod(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    max_backtrack: int | None = DEFAULT_MAX_BACKTRACK,
    on: Collection[type[Event]] | None = None,
    logits: LogitsNeed | None = None,
    registered: bool = True,
) -> Any:
    """Mark a function or a class as a mod, register it, and return that same object.

    A function is called for every event, or for those in `on`. A class gets one instance per
    request and has a method for each event that it wants: `prefilled`, `forward_pass`, `sampled`,
    `added`, `finished`; its annotated attributes are parameters. Handlers take
    `(event, actions)` or `(event, actions, tokenizer)`. A class with a method `mods()` contains the
    mods that it returns; they act right behind it, in that order.

    Args:
        target: The function or class.
        name: What requests call it; the function's or class's own name in lower case if left out.
        max_backtrack: How many of the last tokens it may take back in a stream, which holds back
            as many. `None`: the whole completion. It is 0 for a mod that handles no event at
            which tokens can be taken back.
        on: For a function: the events that it wants.
        logits: What it reads of logits at `ForwardPass`: `"none"`, the `k` best as an int, or the
            `"full"` row. Reading more is then its error. Left out, it may read anything, and
            waits for the device when it does.
        registered: False only marks and checks: for mods that others build into theirs.

    Raises:
        ModDefinitionError: It cannot be a mod; the message says why, where, and what is right.

    Examples:
        >>> from concordance_sdk import ForwardPass, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[ForwardPass], logits="none")
        ... def no_tabs(event, actions, tokenizer):
        ...     return actions.adjust_logits(ban=tokenizer.encode(chr(9)))
        >>> chr(9) in play(no_tabs, script=chr(9), max_tokens=1).text
        False
    """

    def mark(marked: Any) -> Any:
        definition = define(marked, name=name, max_backtrack=max_backtrack, on=on, logits=logits)
        setattr(marked, _MARK, definition)
        if registered:
            current_registry().add(definition)
        return marked

    return mark if target is None else mark(target)


def definition_of(target: Any) -> ModDefinition:
    """The definition of a mod: of one that is marked, or of a bare callable.

    Args:
        target: The function or class.

    Raises:
        ModDefinitionError: It is neither.

    Examples:
        >>> definition_of(lambda event, actions: None).name
        'lambda'
    """
    if isinstance(target, ModDefinition):
        return target
    marked = vars(target).get(_MARK) if hasattr(target, "__dict__") else None
    if isinstance(marked, ModDefinition):
        return marked
    if not callable(target):
        raise ModDefinitionError(f"{target!r:.80} is not a mod; mark a function or class with @mod")
    return define(target)
