"""Uploaded callables without `@mod`, whose arguments are bound by name.

Clients of `quote_mod_sdk` upload plain functions with any order of arguments:
`def raw(event, tokenizer, actions)`. Such an upload need not import `quote_mod_sdk`, so nothing
distinguishes it from a new one. Binding by name therefore applies to every unmarked callable whose
arguments all have known names; a handler in the usual order is unaffected.
"""

import inspect
from collections.abc import Callable
from typing import Any

import msgspec
from concordance_sdk.definition import GIVEN, define, name_of, place_of
from concordance_sdk.host import ModDefinition, definition_of, marked_definition

#: Tests for functions that cannot be mods; `define` rejects them with an explanation.
UNSUPPORTED = (
    inspect.iscoroutinefunction,
    inspect.isasyncgenfunction,
    inspect.isgeneratorfunction,
)


def bind_by_name(target: Any) -> Callable[[Any, Any, Any], object] | None:
    """Wrap a callable as a handler `(event, actions, tokenizer)` that passes arguments by name.

    Returns:
        `None` if the arguments are in a handler's order, or have other names.
    """
    names = _names_to_bind(target)
    if not names or not set(names) <= set(GIVEN):
        return None

    def handle(event: Any, actions: Any, tokenizer: Any) -> object:
        given = {"event": event, "actions": actions, "tokenizer": tokenizer}
        return target(**{name: given[name] for name in names})

    handle.__doc__ = inspect.getdoc(target)
    return handle


def _names_to_bind(target: Any) -> tuple[str, ...]:
    """Return the names of the arguments; empty if they are in a handler's order."""
    if not callable(target) or inspect.isclass(target) or any(kind(target) for kind in UNSUPPORTED):
        return ()
    parameters = inspect.signature(target).parameters.values()
    names = tuple(p.name for p in parameters)
    kinds = {p.kind for p in parameters}
    if kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD} and names == GIVEN[: len(names)]:
        return ()
    return () if inspect.Parameter.POSITIONAL_ONLY in kinds else names


def raw_definition_of(target: Any) -> ModDefinition:
    """Return the definition of a mod, with or without `@mod`.

    Raises:
        ModDefinitionError: `target` is not a mod.
    """
    handle = bind_by_name(target) if marked_definition(target) is None else None
    if handle is None:
        return definition_of(target)
    definition = define(handle, name=name_of(target))
    return msgspec.structs.replace(definition, target=target, where=place_of(target))
