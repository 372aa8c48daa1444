"""What is known about a mod once it is defined: its handlers, parameters and limits.

Everything that can be wrong with a mod's shape is found here, where its author is looking, and
not at token 400 of somebody's request.
"""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, cast

import msgspec
from concordance_shared import (
    EVENTS,
    Added,
    Event,
    Finished,
    ForwardPass,
    ModDefinitionError,
    Prefilled,
    Sampled,
)

from concordance_sdk.declared_logits import LogitsNeed, check_logits_need
from concordance_sdk.parameters import parameters_of

#: How many tokens of a stream are held back for a mod that does not say.
DEFAULT_MAX_BACKTRACK = 32

#: What a handler is given, by position.
GIVEN = ("event", "actions", "tokenizer")

#: Method names of a class mod, and the events that they handle.
HANDLERS: dict[str, type[Event]] = {
    "prefilled": Prefilled,
    "forward_pass": ForwardPass,
    "sampled": Sampled,
    "added": Added,
    "finished": Finished,
}

#: The method of a class mod that returns the mods that it contains.
CONTAINER = "mods"

#: The method of a class mod that does what takes time, before the request waits for its turn.
PREPARE = "prepare"

#: Events at which a mod could take tokens back.
_CAN_TAKE_BACK = frozenset({ForwardPass, Sampled, Added})

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Handler(msgspec.Struct, frozen=True, eq=False):
    """A function or method that handles events, and whether it wants the tokenizer."""

    function: Callable[..., object]
    takes_tokenizer: bool


class ModDefinition(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A mod as it was defined. Requests make instances of it.

    Attributes:
        name: What requests call it.
        target: The function or class, as its author wrote it.
        handlers: By the class of an event: what handles it.
        parameters: A struct of its parameters; `None` for a function.
        max_backtrack: How many of the last tokens it may take back in a stream; `None` for all.
        logits: What it reads of logits; `None` for whatever it likes, when it reads it.
        doc: Its docstring.
        where: The file and line of its definition, for messages.

    Examples:
        >>> from concordance_sdk import definition_of
        >>> from concordance_sdk.builtin import StopAt
        >>> definition = definition_of(StopAt)
        >>> definition.name, [event.__name__ for event in definition.handlers]
        ('stop_at', ['Prefilled', 'Added'])
    """

    name: str
    target: Any
    handlers: dict[type[Event], Handler]
    parameters: type[msgspec.Struct] | None
    max_backtrack: int | None
    logits: LogitsNeed | None = None
    doc: str
    where: str

    @property
    def is_class(self) -> bool:
        """Whether each request gets an instance of its own."""
        return inspect.isclass(self.target)

    @property
    def is_container(self) -> bool:
        """Whether it contains other mods."""
        return self.is_class and callable(getattr(self.target, CONTAINER, None))


def longest_hold(holds: Iterable[int | None]) -> int | None:
    """How many tokens a stream holds back for several mods together.

    Args:
        holds: The `max_backtrack` of each; `None` for the whole completion.
    """
    known = tuple(holds)
    return None if None in known else max((hold for hold in known if hold is not None), default=0)


def define(
    target: Any,
    *,
    name: str | None = None,
    max_backtrack: int | None = DEFAULT_MAX_BACKTRACK,
    on: Collection[type[Event]] | None = None,
    logits: LogitsNeed | None = None,
) -> ModDefinition:
    """Find out what a function or class handles, and check that it can be a mod.

    Raises:
        ModDefinitionError: It cannot; the message names it, the place, and what would be right.
    """
    where = place_of(target)
    name = name if name is not None else name_of(target)
    fail = _Failure(name, where)
    if not _NAME.fullmatch(name):
        raise fail(
            "a mod's name is lower-case letters, digits, '_' and '-', at most 64 of them; "
            "give one with name=..."
        )
    if inspect.isclass(target):
        if on is not None:
            raise fail("`on` is for functions; a class handles the events it has methods for")
        handlers = _class_handlers(target, fail)
        parameters = parameters_of(target, name=name, where=where)
    else:
        handlers = _function_handlers(target, on, fail)
        parameters = None
    return ModDefinition(
        name=name,
        target=target,
        handlers=handlers,
        parameters=parameters,
        max_backtrack=_held_back(handlers, max_backtrack, fail),
        logits=_logits_need(handlers, logits, fail),
        doc=inspect.getdoc(target) or "",
        where=where,
    )


class _Failure:
    """Makes the error that says who and where; callers add what is wrong and what is right."""

    def __init__(self, name: str, where: str) -> None:
        self._name = name
        self._where = where

    def __call__(self, what: str) -> ModDefinitionError:
        return ModDefinitionError(f"mod {self._name!r} ({self._where}): {what}", mod=self._name)


def _held_back(
    handlers: dict[type[Event], Handler], max_backtrack: int | None, fail: _Failure
) -> int | None:
    """How many tokens a stream holds back for this mod: none if it cannot take any back."""
    is_count = isinstance(cast(object, max_backtrack), int) and max_backtrack is not True
    if max_backtrack is not None and not (is_count and max_backtrack >= 0):
        raise fail(f"max_backtrack is a count of tokens or None, not {max_backtrack!r}")
    return max_backtrack if _CAN_TAKE_BACK & handlers.keys() else 0


def _logits_need(
    handlers: dict[type[Event], Handler], need: LogitsNeed | None, fail: _Failure
) -> LogitsNeed | None:
    """What the mod reads of logits, checked."""
    if problem := check_logits_need(need):
        raise fail(problem)
    if need not in (None, "none") and ForwardPass not in handlers:
        raise fail(f"logits={need!r} without handling ForwardPass, the only event that has logits")
    return need


def _function_handlers(
    function: Any, on: Collection[type[Event]] | None, fail: _Failure
) -> dict[type[Event], Handler]:
    if not callable(function):
        raise fail(f"@mod marks a function or a class, not {function!r:.60}")
    listed = on if on is None or isinstance(cast(object, on), Iterable) else (None,)
    if listed is not None and (not listed or any(event not in EVENTS for event in listed)):
        known = ", ".join(event.__name__ for event in EVENTS)
        raise fail(f"`on` lists events, at least one of: {known}")
    handler = _handler(function, "a mod's function", fail)
    return {event: handler for event in EVENTS if on is None or event in on}


def _class_handlers(cls: type, fail: _Failure) -> dict[type[Event], Handler]:
    _check_constructor(cls, fail)
    methods = dict(inspect.getmembers(cls, inspect.isfunction))
    for name in methods.keys() - HANDLERS.keys() - {CONTAINER}:
        _check_spelling(name, fail)
    if PREPARE in methods and _count_positional(methods[PREPARE]) != 2:
        raise fail(
            f"`{PREPARE}` takes (tokenizer); it is called once for each request, before the first "
            "event (a leading underscore marks a method of the mod's own)"
        )
    if CONTAINER in methods and _count_positional(methods[CONTAINER]) != 1:
        raise fail(f"`{CONTAINER}` takes nothing but self; it returns the mods that it contains")
    handlers = {
        event: _handler(methods[name], f"the handler `{name}`", fail, is_method=True)
        for name, event in HANDLERS.items()
        if name in methods
    }
    if not handlers and CONTAINER not in methods:
        raise fail(
            f"it handles no event; give it at least one method of: {', '.join(HANDLERS)}, or "
            f"`{CONTAINER}`, which returns the mods that it contains"
        )
    return handlers


def _check_constructor(cls: type, fail: _Failure) -> None:
    try:
        required = list(inspect.signature(cls).parameters.values())
    except ValueError:
        return
    if any(
        p.default is p.empty
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        for p in required
    ):
        raise fail(
            "__init__ takes nothing but self; write parameters as annotated attributes of the "
            "class (`words: str`), they are set before __init__ runs"
        )


def _check_spelling(name: str, fail: _Failure) -> None:
    if name.startswith("_"):
        return
    import difflib  # noqa: PLC0415  # only for a class that has methods of its own

    bare = name.removeprefix("on_").removeprefix("handle_")
    close = difflib.get_close_matches(bare, HANDLERS, n=1, cutoff=0.8)
    if close or (name.startswith("on_") and bare in {"forward", "token", "prefill"}):
        raise fail(
            f"its method `{name}` is no event's name; the handlers are: {', '.join(HANDLERS)}"
            " (a leading underscore marks a method of the mod's own)"
        )


def _handler(
    function: Callable[..., object], what: str, fail: _Failure, *, is_method: bool = False
) -> Handler:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise fail(f"{what} is async; mods are called between two tokens and answer at once")
    if inspect.isgeneratorfunction(function):
        raise fail(f"{what} is a generator; a handler returns one action or None")
    count = _count_positional(function) - is_method
    if count not in (2, 3):
        taken = inspect.signature(function)
        raise fail(
            f"{what} takes {taken}; it must take (event, actions) or (event, actions, tokenizer)"
        )
    _check_order([*inspect.signature(function).parameters][is_method:], what, fail)
    return Handler(function=function, takes_tokenizer=count == 3)


def _check_order(names: Sequence[str], what: str, fail: _Failure) -> None:
    """Refuse an argument that is named like another than it is given."""
    for name, given in zip(names, GIVEN, strict=False):
        if name != given and name in GIVEN:
            raise fail(
                f"{what} takes ({', '.join(names)}), but arguments are given in the order "
                f"(event, actions, tokenizer): its {name!r} would be the {given}"
            )


def _count_positional(function: Callable[..., object]) -> int:
    """How many positional arguments a call may give; 3 and self where there is `*args`.

    A required keyword-only argument makes it uncallable for us: 0.
    """
    count = 0
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return max(count, 3)
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            count += 1
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            return 0
    return count


def name_of(target: Any) -> str:
    """`NoCats` -> `no_cats`, `greet` -> `greet`, a lambda -> `lambda`."""
    name = str(getattr(target, "__name__", type(target).__name__)).strip("<>")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def place_of(target: Any) -> str:
    """File and line of a definition, as well as they can be told."""
    functions = [target, *vars(target).values()] if inspect.isclass(target) else [target]
    for function in (*functions, vars(type(target)).get("__call__")):
        code = getattr(function, "__code__", None)
        if code is not None:
            return f"{code.co_filename}:{code.co_firstlineno}"
    return str(getattr(target, "__module__", "?"))
