"""How mods of the older SDK are written and called.

What is marked takes `(event, actions, tokenizer)`; what it becomes, and what is a raw callable that
returns actions, takes `(event, tokenizer)`.
"""

import contextlib
import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import concordance_shared
import msgspec
from concordance_sdk import Actions, ModDefinition, Tokenizer, definition_of
from concordance_sdk.definition import define, name_of, place_of
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

#: The events that there were; older mods know no other.
_EVENTS = (
    concordance_shared.Prefilled,
    concordance_shared.ForwardPass,
    concordance_shared.Sampled,
    concordance_shared.Added,
)

ModCallable = Callable[..., Any]  # (event, tokenizer=None) -> action

#: Where `concordance_sdk.mod` leaves a definition, so that it finds ours.
_MARK = "__concordance_mod__"
#: What `functools.wraps` copies to a decorator that stands above `@mod`.
_MADE = "__older_mod__"


def mod(handler: Callable[..., Any]) -> ModCallable:
    """Mark and register a handler, and return the callable that it becomes.

    A stream holds the whole completion back, since an older mod says nowhere how many tokens it
    may take back.

    Raises:
        ModDefinitionError: It cannot be a mod.
    """
    made = create_mod(handler)
    current_registry().add(vars(made)[_MARK])
    return made


def create_mod(handler: Callable[..., Any]) -> ModCallable:
    """The callable `(event, tokenizer=None)` that a handler `(event, actions, tokenizer)` becomes.

    Raises:
        ModDefinitionError: It cannot be a mod.
    """
    takes_tokenizer = _takes_tokenizer(handler)

    def called(event: ModEvent, tokenizer: Any) -> Any:
        builder = ActionBuilder(event)
        return handler(event, builder, tokenizer) if takes_tokenizer else handler(event, builder)

    @functools.wraps(handler)
    def made(event: ModEvent, tokenizer: Any = None) -> Any:
        return validate_action(event, called(event, tokenizer))

    setattr(made, _MARK, _definition(handler, made, called))
    setattr(made, _MADE, made)
    return made


def _takes_tokenizer(handler: Any) -> bool:
    """Whether a handler is given the tokenizer; it may have more arguments with defaults.

    Raises:
        ModDefinitionError: It takes neither three arguments nor two, or does not answer at once.
    """
    if callable(handler) and not any(kind(handler) for kind in UNSUPPORTED):
        for given in ((None,) * 3, (None,) * 2):
            with contextlib.suppress(TypeError):
                inspect.signature(handler).bind(*given)
                return len(given) == 3
    checked = define(handler, name=_sayable(handler))
    return checked.handlers[concordance_shared.Prefilled].takes_tokenizer


def older_definition_of(target: Any) -> ModDefinition:
    """The definition of a mod that a source of the older SDK offers.

    Args:
        target: What is marked, or a raw callable: `(event)`, `(event, tokenizer)`, or as a handler
            is.

    Raises:
        ModDefinitionError: It is neither.
    """
    is_marked = hasattr(target, "__dict__") and _MARK in vars(target)
    if is_marked and _decorates(target, vars(target)[_MARK]):
        return _definition(target, target, target)
    if is_marked or not callable(target) or inspect.isclass(target):
        return definition_of(target)
    if handle := bind_by_name(target):
        return _definition(
            target, target, lambda event, tok: handle(event, ActionBuilder(event), tok)
        )
    names = list(inspect.signature(target).parameters)
    if len(names) > 2 or "action" in "".join(names[1:2]):
        return vars(create_mod(target))[_MARK]
    takes_tokenizer = len(names) > 1
    return _definition(
        target, target, lambda event, tokenizer: target(event, *(tokenizer,) * takes_tokenizer)
    )


def outermost(definition: ModDefinition, offered: Iterable[Any]) -> ModDefinition:
    """The definition of a mod with the decorators above its `@mod`, if a module offers those."""
    for value in offered:
        if hasattr(value, "__dict__") and _decorates(value, definition):
            return older_definition_of(value)
    return definition


def _decorates(target: Any, definition: ModDefinition) -> bool:
    """Whether it calls the mod of a definition, as a decorator above `@mod` does."""
    made = vars(target).get(_MADE)
    return made is not None and made is definition.target and made is not target


def _definition(written: Any, target: Any, called: Callable[[ModEvent, Any], Any]) -> ModDefinition:
    """The definition of a mod of the older convention.

    Args:
        written: What its author wrote, for its name, its place and its documentation.
        target: What others import and upload.
        called: What is called with an event and a tokenizer.
    """

    def answer(event: Event, actions: Actions, tokenizer: Tokenizer) -> object:
        del actions
        older = older_event(event)
        with request_of(event.request_id):
            return modern(called(older, older_tokenizer(tokenizer)), older)

    answer.__doc__ = inspect.getdoc(written)
    definition = define(answer, name=_sayable(written), on=_EVENTS, max_backtrack=None)
    name = str(getattr(written, "__name__", definition.name)).strip("<>")
    return msgspec.structs.replace(definition, name=name, target=target, where=place_of(written))


def _sayable(written: Any) -> str:
    """A name for messages, of a mod that requests may call by another, with capitals say."""
    return re.sub(r"[^a-z0-9_-]", "_", name_of(written)).lstrip("_")[:64] or "mod"
