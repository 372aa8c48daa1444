"""Callables that no decorator marked: what they are given follows from their arguments' names."""

import inspect
from collections.abc import Callable
from typing import Any

import msgspec
from concordance_sdk import ModDefinition, definition_of
from concordance_sdk.definition import GIVEN, define, name_of, place_of

#: Kinds of functions that no mod is made of, which is said where it is defined.
REFUSED = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)


def by_names(target: Any) -> Callable[[Any, Any, Any], object] | None:
    """A handler `(event, actions, tokenizer)` that gives a callable what its arguments name.

    Returns:
        `None` where that is not needed, or their names do not say.
    """
    names = _names(target)
    if not names or not set(names) <= set(GIVEN):
        return None

    def handle(event: Any, actions: Any, tokenizer: Any) -> object:
        given = {"event": event, "actions": actions, "tokenizer": tokenizer}
        return target(**{name: given[name] for name in names})

    handle.__doc__ = inspect.getdoc(target)
    return handle


def _names(target: Any) -> tuple[str, ...]:
    """The arguments that have to be given by name; none where they stand as a handler's do."""
    if not callable(target) or inspect.isclass(target) or any(kind(target) for kind in REFUSED):
        return ()
    parameters = inspect.signature(target).parameters.values()
    names = tuple(p.name for p in parameters)
    kinds = {p.kind for p in parameters}
    if kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD} and names == GIVEN[: len(names)]:
        return ()
    return () if inspect.Parameter.POSITIONAL_ONLY in kinds else names


def raw_definition_of(target: Any) -> ModDefinition:
    """The definition of a mod, marked or not.

    Raises:
        ModDefinitionError: It is not a mod.
    """
    handle = by_names(target) if not hasattr(target, "__concordance_mod__") else None
    if handle is None:
        return definition_of(target)
    definition = define(handle, name=name_of(target))
    return msgspec.structs.replace(definition, target=target, where=place_of(target))
