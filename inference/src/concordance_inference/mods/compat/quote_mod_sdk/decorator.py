"""The `@mod` decorator of `quote_mod_sdk`.

A handler takes `(event, actions, tokenizer)`. The decorated mod, and a callable without the
decorator, take `(event, tokenizer)` and return an action.
"""

import contextlib
import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import concordance_shared
import msgspec
from concordance_sdk import Actions, Tokenizer
from concordance_sdk.definition import define, name_of, place_of
from concordance_sdk.host import ModDefinition, definition_of
from concordance_sdk.mod import mark_as, marked_definition
from concordance_sdk.registry import current_registry
from concordance_shared import Event

from concordance_inference.mods.compat.quote_mod_sdk.actions import (
    ActionBuilder,
    modern,
    validate_action,
)
from concordance_inference.mods.compat.quote_mod_sdk.conversation import request_of
from concordance_inference.mods.compat.quote_mod_sdk.events import ModEvent, older_event
from concordance_inference.mods.compat.quote_mod_sdk.tokenizer import older_tokenizer
from concordance_inference.mods.raw_callable import UNSUPPORTED, bind_by_name

#: The events of `quote_mod_sdk`.
_EVENTS = (
    concordance_shared.Prefilled,
    concordance_shared.ForwardPass,
    concordance_shared.Sampled,
    concordance_shared.Added,
)

ModCallable = Callable[..., Any]  # (event, tokenizer=None) -> action

#: Holds the decorated mod. `functools.wraps` copies it to wrappers above `@mod`, so that a wrapper
#: can be recognized: its value is another object than itself.
_MADE = "__older_mod__"


def mod(handler: Callable[..., Any]) -> ModCallable:
    """Turn a handler into a mod and register it.

    Such a mod does not declare how many tokens it may backtrack, so a stream withholds the whole
    completion until its end.

    Raises:
        ModDefinitionError: The handler's signature is not supported.
    """
    made = create_mod(handler)
    current_registry().add(definition_of(made))
    return made


def create_mod(handler: Callable[..., Any]) -> ModCallable:
    """Wrap a handler `(event, actions, tokenizer)` as a mod `(event, tokenizer=None)`.

    Raises:
        ModDefinitionError: The handler's signature is not supported.
    """
    takes_tokenizer = _takes_tokenizer(handler)

    def called(event: ModEvent, tokenizer: Any) -> Any:
        builder = ActionBuilder(event)
        return handler(event, builder, tokenizer) if takes_tokenizer else handler(event, builder)

    @functools.wraps(handler)
    def made(event: ModEvent, tokenizer: Any = None) -> Any:
        return validate_action(event, called(event, tokenizer))

    mark_as(made, _definition(handler, made, called))
    setattr(made, _MADE, made)
    return made


def _takes_tokenizer(handler: Any) -> bool:
    """True if a handler takes the tokenizer; further arguments must have defaults.

    Raises:
        ModDefinitionError: It takes neither three arguments nor two, or it is async or a generator.
    """
    if callable(handler) and not any(kind(handler) for kind in UNSUPPORTED):
        for given in ((None,) * 3, (None,) * 2):
            with contextlib.suppress(TypeError):
                inspect.signature(handler).bind(*given)
                return len(given) == 3
    checked = define(handler, name=_valid_name(handler))
    return checked.handlers[concordance_shared.Prefilled].takes_tokenizer


def older_definition_of(target: Any) -> ModDefinition:
    """Return the definition of a mod.

    Args:
        target: A decorated mod, or a callable without `@mod`: `(event)`, `(event, tokenizer)`, or
            in the form of a handler.

    Raises:
        ModDefinitionError: It is neither.
    """
    marked = marked_definition(target)
    if marked and _decorates(target, marked):
        return _definition(target, target, target)
    if marked or not callable(target) or inspect.isclass(target):
        return definition_of(target)
    if handle := bind_by_name(target):
        return _definition(
            target, target, lambda event, tok: handle(event, ActionBuilder(event), tok)
        )
    names = list(inspect.signature(target).parameters)
    if len(names) > 2 or "action" in "".join(names[1:2]):
        return definition_of(create_mod(target))
    takes_tokenizer = len(names) > 1
    return _definition(
        target, target, lambda event, tokenizer: target(event, *(tokenizer,) * takes_tokenizer)
    )


def outermost(definition: ModDefinition, offered: Iterable[Any]) -> ModDefinition:
    """Return the definition of a mod with the decorators above its `@mod`, if there are any.

    Args:
        definition: The mod, without them.
        offered: The values of the modules that define it.
    """
    for value in offered:
        if hasattr(value, "__dict__") and _decorates(value, definition):
            return older_definition_of(value)
    return definition


def _decorates(target: Any, definition: ModDefinition) -> bool:
    """True if `target` is a decorator's wrapper around the mod of a definition."""
    made = vars(target).get(_MADE)
    return made is not None and made is definition.target and made is not target


def _definition(written: Any, target: Any, called: Callable[[ModEvent, Any], Any]) -> ModDefinition:
    """Define a mod that converts events to those of `quote_mod_sdk`, and actions back.

    Args:
        written: The author's object, for name, source location and docstring.
        target: The object that is imported and uploaded.
        called: Called with an event and a tokenizer.
    """

    def handle(event: Event, actions: Actions, tokenizer: Tokenizer) -> object:
        del actions
        older = older_event(event)
        with request_of(event.request_id):
            return modern(called(older, older_tokenizer(tokenizer)), older)

    handle.__doc__ = inspect.getdoc(written)
    definition = define(handle, name=_valid_name(written), on=_EVENTS, max_backtrack=None)
    name = str(getattr(written, "__name__", definition.name)).strip("<>")
    return msgspec.structs.replace(definition, name=name, target=target, where=place_of(written))


def _valid_name(written: Any) -> str:
    """Return a name that `define` accepts; older names may have capitals."""
    return re.sub(r"[^a-z0-9_-]", "_", name_of(written)).lstrip("_")[:64] or "mod"
