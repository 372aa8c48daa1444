"""`@mod`: marks and checks a function or class as a mod, without wrapping it."""

from collections.abc import Callable, Collection
from types import GeneratorType
from typing import Any, TypeVar, cast, overload

from concordance_shared import Event, ModDefinitionError
from msgspec import UNSET, UnsetType

from concordance_sdk.declared_logits import LogitsNeed
from concordance_sdk.definition import HANDLERS, ModDefinition, define
from concordance_sdk.registry import current_registry

_MARK = "__concordance_mod__"

Target = TypeVar("Target", bound=Callable[..., Any])


@overload
def mod(target: Target, /) -> Target: ...


@overload
def mod(
    *,
    name: str | None = None,
    max_backtrack: int | UnsetType | None = UNSET,
    on: Collection[type[Event]] | None = None,
    logits: LogitsNeed | None = None,
    registered: bool = True,
) -> Callable[[Target], Target]: ...


def mod(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    max_backtrack: int | UnsetType | None = UNSET,
    on: Collection[type[Event]] | None = None,
    logits: LogitsNeed | None = None,
    registered: bool = True,
) -> Any:
    """Mark a function or a class as a mod, register it, and return that same object.

    A function is called for every event, or for those in `on`. A class gets one instance per
    request and has a method for each event that it handles: `prefilled`, `forward_pass`, `sampled`,
    `added`, `finished`; its annotated attributes are parameters. Handlers take
    `(event, actions)` or `(event, actions, tokenizer)`. Events are forwarded to the parts that a
    method `parts()` returns, before the handlers; see `Follower`. A class with a method `mods()`
    contains the mods that it returns; they act after it, in that order.

    A generator function is a script: it takes a `ScriptRun` and its parameters, and yields steps;
    see `concordance_sdk.script`.

    Args:
        target: The function or class.
        name: The name that requests use; by default the function's or class's name in snake case.
        max_backtrack: Tokens that it may backtrack in a stream, which holds back that many; `None`
            for the whole completion. 32 by default; 0 for a mod that handles no event that allows
            backtracking, and for a script, which holds back what it needs while it runs. For a
            value that depends on parameters, give a class a property of this name.
        on: For a function: the events to call it for.
        logits: The logits that it reads at `ForwardPass`: `"none"`, the top `k` as an int, or the
            `"full"` row. Reading more is then an error. By default it may read anything, and
            waits for the device when it does.
        registered: False marks and checks the mod without registering it.

    Raises:
        ModDefinitionError: It cannot be a mod; the message says why, where, and the remedy.

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
        mark_as(marked, definition)
        if registered:
            current_registry().add(definition)
        return marked

    return mark if target is None else mark(target)


def marked_definition(target: Any) -> ModDefinition | None:
    """The definition that `@mod` left on a function or class; `None` if it is not marked.

    A subclass is not marked by the mark of its base.

    Examples:
        >>> from concordance_sdk.builtin import StopAt
        >>> marked_definition(StopAt).name, marked_definition(print)
        ('stop_at', None)
    """
    marked = vars(target).get(_MARK) if hasattr(target, "__dict__") else None
    return marked if isinstance(marked, ModDefinition) else None


def mark_as(target: Any, definition: ModDefinition) -> None:
    """Leave a definition on a function or class, where `marked_definition` finds it."""
    setattr(target, _MARK, definition)


def definition_of(target: Any) -> ModDefinition:
    """The definition of a marked mod, or of a bare callable.

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
    if definition := marked_definition(target):
        return definition
    if marked_definition(type(target)):
        name = type(target).__name__
        raise ModDefinitionError(
            f"{target!r:.80} is an object of the mod {name}; give the class, of which each request "
            f"makes an object, and parameters by name: use({name}, parameter=value)"
        )
    if isinstance(target, GeneratorType):
        name = cast("GeneratorType[object]", target).__name__
        raise ModDefinitionError(
            f"{target!r:.80} is a script that was called; give the script itself, of which each "
            f"request makes a run, and parameters by name: use({name}, parameter=value)"
        )
    if isinstance(target, str):
        raise ModDefinitionError(
            f"{target!r:.80} is not a mod; give the function or class itself, not its name"
        )
    if isinstance(target, list | tuple):
        raise ModDefinitionError(f"{target!r:.80} is not a mod; give the mods one by one")
    if not callable(target):
        is_part = any(callable(getattr(target, name, None)) for name in HANDLERS)
        hint = "a part is listed in `parts()`" if is_part else "mark a function or class with @mod"
        raise ModDefinitionError(f"{target!r:.80} is not a mod; {hint}")
    return define(target)
