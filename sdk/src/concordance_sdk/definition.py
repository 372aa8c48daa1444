"""The definition of a mod: its handlers, parameters and limits.

Errors in a mod's shape are raised here, when its author defines it, not at token 400 of a request.
"""

import inspect
import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from types import CodeType
from typing import Any, cast

import msgspec
from concordance_shared import (
    EVENTS,
    Added,
    ChannelPlace,
    Event,
    Finished,
    ForwardPass,
    ModDefinitionError,
    Prefilled,
    Sampled,
)
from concordance_shared.suggestions import did_you_mean, similar_names
from msgspec import UNSET, UnsetType

from concordance_sdk.declared_logits import LogitsNeed, check_logits_need
from concordance_sdk.parameters import parameters_of, script_parameters

#: Tokens that a stream holds back for a mod that declares no `max_backtrack`.
DEFAULT_MAX_BACKTRACK = 32

#: Arguments of a handler, by position.
GIVEN = ("event", "actions", "tokenizer")

#: Handler methods of a class mod, and the events that they handle.
HANDLERS: dict[str, type[Event]] = {
    "prefilled": Prefilled,
    "forward_pass": ForwardPass,
    "sampled": Sampled,
    "added": Added,
    "finished": Finished,
}

#: Events that a script follows.
SCRIPT_EVENTS: tuple[type[Event], ...] = (Prefilled, ForwardPass, Added, Finished)

#: The method of a class mod that returns the mods that it contains.
CONTAINER = "mods"

#: The method of a class mod that returns its parts, to which the host forwards events.
PARTS = "parts"

#: The method of a class mod that does slow work before the request is scheduled.
PREPARE = "prepare"

#: Events at which a mod can backtrack.
CAN_BACKTRACK = frozenset({ForwardPass, Sampled, Added})

#: The folder of the SDK's own files.
_SDK = os.path.join(os.path.dirname(__file__), "")  # noqa: PTH118, PTH120  # `pathlib` is slow to import

#: What authors call a handler -> its name.
_OTHER_WORDS = {
    "add": "added",
    "decode": "forward_pass",
    "end": "finished",
    "finish": "finished",
    "forward": "forward_pass",
    "logits": "forward_pass",
    "prefill": "prefilled",
    "sample": "sampled",
    "start": "prefilled",
    "token": "added",
    "tokens": "added",
}

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


Fail = Callable[[str], ModDefinitionError]


class Handler(msgspec.Struct, frozen=True, eq=False):
    """A function or method that handles events."""

    function: Callable[..., object]
    takes_tokenizer: bool


class ModDefinition(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The definition of a mod, of which each request makes an instance.

    Attributes:
        name: The name that requests use.
        target: The function or class, as its author wrote it.
        handlers: Event class -> handler.
        parameters: A struct of its parameters; `None` for a function.
        max_backtrack: Tokens that it may backtrack in a stream; `None` for the whole completion.
        declares_max_backtrack: True if `@mod` was given `max_backtrack`, or a class has an
            attribute or property of that name.
        logits: The logits that it declares to read; `None` if it declares nothing.
        acts_in: Takes an instance and a place; False in a message in which `ForwardPass` and
            `Added` are not dispatched to it, since it would do nothing. For mods of the host.
        doc: Its docstring.
        where: The file and line of its definition, for messages.

    Examples:
        >>> from concordance_sdk.builtin import StopAt
        >>> from concordance_sdk.host import definition_of
        >>> definition = definition_of(StopAt)
        >>> definition.name, [event.__name__ for event in definition.handlers]
        ('stop_at', ['Prefilled', 'Added'])
    """

    name: str
    target: Any
    handlers: dict[type[Event], Handler]
    parameters: type[msgspec.Struct] | None
    max_backtrack: int | None
    declares_max_backtrack: bool = True
    logits: LogitsNeed | None = None
    acts_in: Callable[[Any, ChannelPlace], bool] | None = None
    doc: str
    where: str

    @property
    def is_class(self) -> bool:
        """True if each request gets an instance of the class."""
        return inspect.isclass(self.target)

    @property
    def is_script(self) -> bool:
        """True if it is a generator function, of which each request has a run."""
        return inspect.isgeneratorfunction(self.target)

    @property
    def is_container(self) -> bool:
        """True if it contains other mods."""
        return self.is_class and callable(getattr(self.target, CONTAINER, None))

    @property
    def has_parts(self) -> bool:
        """True if the host forwards events to parts of it."""
        return self.is_class and callable(getattr(self.target, PARTS, None))


def longest_hold(holds: Iterable[int | None]) -> int | None:
    """Tokens that a stream holds back for several mods together.

    Args:
        holds: The `max_backtrack` of each; `None` for the whole completion.
    """
    known = tuple(holds)
    return None if None in known else max((hold for hold in known if hold is not None), default=0)


def define(
    target: Any,
    *,
    name: str | None = None,
    max_backtrack: int | UnsetType | None = UNSET,
    on: Collection[type[Event]] | None = None,
    logits: LogitsNeed | None = None,
) -> ModDefinition:
    """Check that a function or class can be a mod, and collect its handlers and parameters.

    Raises:
        ModDefinitionError: It cannot; the message names the mod, the place and the remedy.
    """
    if not callable(target):
        raise ModDefinitionError(
            f"@mod marks a function or a class, not {target!r:.60}{_meant(target)}"
        )
    where = place_of(target)
    name = name if name is not None else name_of(target)
    fail = _Failure(name, where)
    if not _NAME.fullmatch(name):
        raise fail(
            "a mod's name is lower-case letters, digits, '_' and '-', at most 64 of them; "
            "give one with name=..."
        )
    if inspect.isclass(target):
        if issubclass(target, Event):
            raise fail(f"{target.__name__} is an event: @mod(on=[{target.__name__}]) lists it")
        if on is not None:
            raise fail("`on` is for functions; a class handles the events it has methods for")
        handlers = _class_handlers(target, fail)
        parameters = parameters_of(target, name=name, where=where)
    elif inspect.isgeneratorfunction(target):
        if on is not None:
            raise fail("`on` is for functions that handle events; a script follows all it needs")
        handlers = dict.fromkeys(SCRIPT_EVENTS, Handler(function=target, takes_tokenizer=True))
        parameters = script_parameters(target, name=name, where=where)
    else:
        handlers = _function_handlers(target, on, fail)
        parameters = None
    return ModDefinition(
        name=name,
        target=target,
        handlers=handlers,
        parameters=parameters,
        max_backtrack=_max_backtrack(target, handlers, max_backtrack, fail),
        declares_max_backtrack=max_backtrack is not UNSET or hasattr(target, "max_backtrack"),
        logits=_logits_need(handlers, logits, fail),
        doc=inspect.getdoc(target) or "",
        where=where,
    )


def _meant(target: object) -> str:
    """For `@mod("name")` and `@mod([Added])`."""
    if isinstance(target, str):
        return f"; a name is given as @mod(name={target!r:.40})"
    return "; events are listed as @mod(on=[...])" if isinstance(target, list | tuple) else ""


class _Failure:
    """Makes errors that name the mod and the place of its definition."""

    def __init__(self, name: str, where: str) -> None:
        self._name = name
        self._where = where

    def __call__(self, what: str) -> ModDefinitionError:
        return ModDefinitionError(f"mod {self._name!r} ({self._where}): {what}", mod=self._name)


def _max_backtrack(
    target: Any,
    handlers: dict[type[Event], Handler],
    declared: int | UnsetType | None,
    fail: Fail,
) -> int | None:
    if declared is UNSET:  # a script holds back what it needs while it runs
        declared = 0 if inspect.isgeneratorfunction(target) else DEFAULT_MAX_BACKTRACK
    if problem := check_max_backtrack(declared):
        raise fail(problem)
    has_parts = inspect.isclass(target) and hasattr(target, PARTS)
    return declared if has_parts or CAN_BACKTRACK & handlers.keys() else 0


def check_max_backtrack(declared: object) -> str | None:
    """Describe what is wrong with a declared `max_backtrack`; `None` if nothing is."""
    is_count = isinstance(declared, int) and not isinstance(declared, bool) and declared >= 0
    if declared is None or is_count:
        return None
    return f"max_backtrack is a number of tokens or None, not {declared!r:.60}"


def _logits_need(
    handlers: dict[type[Event], Handler], need: LogitsNeed | None, fail: Fail
) -> LogitsNeed | None:
    if problem := check_logits_need(need):
        raise fail(problem)
    if need not in (None, "none") and ForwardPass not in handlers:
        raise fail(f"logits={need!r} without handling ForwardPass, the only event that has logits")
    return need


def _function_handlers(
    function: Any, on: Collection[type[Event]] | None, fail: Fail
) -> dict[type[Event], Handler]:
    if isinstance(on, type) and issubclass(on, Event):
        raise fail(f"`on` lists events: on=[{on.__name__}]")
    listed = on if on is None or isinstance(cast(object, on), Iterable) else (None,)
    if [*inspect.signature(function).parameters][:1] == ["run"]:
        raise fail(
            f"it takes {inspect.signature(function)}, as a script, and yields nothing; a script "
            "yields its steps: `yield run.force(...)`"
        )
    if listed is not None and (not listed or any(event not in EVENTS for event in listed)):
        known = ", ".join(event.__name__ for event in EVENTS)
        raise fail(f"`on` lists events, at least one of: {known}")
    handler = handler_of(function, "a mod's function", fail)
    return {event: handler for event in EVENTS if on is None or event in on}


def _class_handlers(cls: type, fail: Fail) -> dict[type[Event], Handler]:
    _check_constructor(cls, fail)
    methods = dict(inspect.getmembers(cls, inspect.isfunction))
    for name in methods.keys() - HANDLERS.keys() - {CONTAINER, PARTS}:
        check_spelling(name, methods[name], fail)
    for name in (*HANDLERS, PREPARE, CONTAINER, PARTS):
        _check_is_method(cls, name, fail)
    if PREPARE in methods and _count_positional(methods[PREPARE]) != 2:
        raise fail(
            f"`{PREPARE}` takes (self, tokenizer); it is called once for each request, before the "
            "first event (a leading underscore marks a method of the mod's own)"
        )
    for name, returned in ((CONTAINER, "mods that it contains"), (PARTS, "parts of the mod")):
        if name in methods and _count_positional(methods[name]) != 1:
            raise fail(f"`{name}` takes no argument but self; it returns the {returned}")
    if isinstance(vars(cls).get(PARTS), list | tuple):
        raise fail(
            f"`{PARTS}` is a method that returns the parts, so that each request has its own: "
            f"def {PARTS}(self): return [...]"
        )
    handlers = {
        event: handler_of(methods[name], f"the handler `{name}`", fail, is_method=True)
        for name, event in HANDLERS.items()
        if name in methods
    }
    if not handlers and not methods.keys() & {CONTAINER, PARTS}:
        raise fail(
            f"it handles no event; give it at least one method of: {', '.join(HANDLERS)}, or "
            f"`{PARTS}` or `{CONTAINER}`, which return parts and mods that do"
        )
    return handlers


def _check_is_method(cls: type, name: str, fail: Fail) -> None:
    """Reject a special name that is no plain method, which would never be called or not bound."""
    found = inspect.getattr_static(cls, name, None)
    if found is None or (name in HANDLERS and name in inspect.get_annotations(cls)):
        return
    is_plain = inspect.isfunction(found)
    if name in HANDLERS:
        signature = "self, event, actions"
    else:
        signature = "self, tokenizer" if name == PREPARE else "self"
    if not is_plain and (callable(found) or hasattr(found, "__get__")):
        kind = "an object" if callable(found) else f"a {type(found).__name__}"
        kind = f"a {type(found).__name__}" if isinstance(found, staticmethod) else kind
        raise fail(f"`{name}` is {kind}; make it a method: def {name}({signature})")
    if is_plain and name not in HANDLERS:
        if inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found):
            raise fail(f"`{name}` is async; make it a method that returns: def {name}({signature})")
        if name == PREPARE and inspect.isgeneratorfunction(found):
            raise fail(f"`{name}` is a generator, which would do nothing; remove its `yield`")


def _check_constructor(cls: type, fail: Fail) -> None:
    if cls.__init__ is object.__init__ and cls.__new__ is object.__new__:
        return
    try:
        required = list(inspect.signature(cls).parameters.values())
    except ValueError as exc:
        raise fail("__init__ lacks `self`: def __init__(self)") from exc
    if any(
        p.default is p.empty
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        for p in required
    ):
        raise fail(
            "__init__ takes nothing but self; write parameters as annotated attributes of the "
            "class (`words: str`), they are set before __init__ runs"
        )


def check_spelling(name: str, method: Callable[..., object], fail: Fail) -> None:
    """Reject a method that is called like a handler, but not quite.

    Raises:
        ModDefinitionError: The method's name is close to that of a handler.
    """
    if name.startswith("_"):
        return
    bare = name.removeprefix("on_").removeprefix("handle_")
    close = similar_names(bare, HANDLERS, cutoff=0.8)
    takes_event = GIVEN[0] in inspect.signature(method).parameters
    is_meant = name.startswith("on_") or takes_event
    if close or (is_meant and bare in _OTHER_WORDS):
        close = close or [_OTHER_WORDS[bare]]
        handlers = f"the handlers are: {', '.join(HANDLERS)}"
        raise fail(
            f"its method `{name}` is no event's name{did_you_mean(close[:1], handlers)} "
            "(a leading underscore marks a method of the mod's own)"
        )


def handler_of(
    function: Callable[..., object], what: str, fail: Fail, *, is_method: bool = False
) -> Handler:
    """Check the arguments of a function that handles events.

    Args:
        function: The function; a method is not bound.
        what: The function in words, for messages.
        fail: Makes the error.
        is_method: True if it takes `self`.

    Raises:
        ModDefinitionError: The host cannot call it.
    """
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise fail(f"{what} is async; a handler runs between two tokens and returns its action")
    if inspect.isgeneratorfunction(function):
        raise fail(f"{what} is a generator; a handler returns one action or None")
    names = [*inspect.signature(function).parameters]
    own = "self, " * is_method
    if names[:1] == ["self"] and not is_method:
        raise fail(f"{what} takes `self`; only a method of a class does: (event, actions)")
    if is_method and names and names[0] in GIVEN:
        raise fail(f"{what} lacks `self`: it takes ({own}{', '.join(names)})")
    count = _count_positional(function) - is_method
    if count not in (2, 3):
        taken = inspect.signature(function)
        raise fail(
            f"{what} takes {taken}; it must take ({own}event, actions) or "
            f"({own}event, actions, tokenizer)"
        )
    _check_order(names[is_method:], what, fail)
    _check_third(function, what, is_method, fail)
    return Handler(function=function, takes_tokenizer=count == 3)


def _check_third(function: Callable[..., object], what: str, is_method: bool, fail: Fail) -> None:  # noqa: FBT001
    """Reject `(event, actions, word="x")`: the third argument is the tokenizer."""
    third = [*inspect.signature(function).parameters.values()][is_method:][2:3]
    for parameter in third:
        has_default = parameter.default not in (parameter.empty, None)
        if has_default and not parameter.name.startswith("tok"):
            raise fail(
                f"{what} would receive the tokenizer as its {parameter.name!r}; parameters of a "
                "mod are annotated attributes of a class"
            )


def _check_order(names: Sequence[str], what: str, fail: Fail) -> None:
    """Reject `(actions, event)`: arguments are positional."""
    for name, given in zip(names, GIVEN, strict=False):
        if name != given and name in GIVEN:
            raise fail(
                f"{what} takes ({', '.join(names)}), but arguments are passed in the order "
                f"(event, actions, tokenizer): its {name!r} would be the {given}"
            )


def _count_positional(function: Callable[..., object]) -> int:
    """The most positional arguments that a call may pass, at least 3 where there is `*args`.

    0 if there is a required keyword-only argument: no host passes one.
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
    """The default name of a mod: `NoCats` -> `no_cats`, `greet` -> `greet`."""
    name = str(getattr(target, "__name__", type(target).__name__)).strip("<>")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def place_of(target: Any) -> str:
    """The file and line of a definition, or its module if those are unknown.

    A class that a function of the SDK makes, such as `constrain`, is defined where an author calls
    that function; one without functions of its own, where `@mod` is applied.
    """
    functions = [target, *vars(target).values()] if inspect.isclass(target) else [target]
    for function in (*functions, vars(type(target)).get("__call__")):
        code = getattr(function, "__code__", None)
        if code is not None and not _is_made_by_the_sdk(target, code):
            return f"{code.co_filename}:{code.co_firstlineno}"
    return _calling_line(target) or str(getattr(target, "__module__", "?"))


def _is_made_by_the_sdk(target: Any, code: CodeType) -> bool:
    """True for a local class or function of a function of the SDK."""
    return code.co_filename.startswith(_SDK) and "<locals>" in getattr(target, "__qualname__", "")


def _calling_line(target: Any) -> str | None:
    """The innermost line outside of the SDK that leads here, if it is where `target` is made."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_SDK):
        frame = frame.f_back
    if frame is None:
        return None
    module = str(getattr(target, "__module__", ""))
    is_made_there = module == frame.f_globals.get("__name__")
    if not is_made_there and not module.startswith("concordance_sdk."):
        return None
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
