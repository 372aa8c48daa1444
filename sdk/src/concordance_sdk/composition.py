"""Mods that contain other mods.

A class mod with a method `mods()` contains the mods that it returns. They follow it in the
request's list of mods, in that order, and act as any others do: adjustments of prompt and logits
compose, the first mod that forces, backtracks or ends wins.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Never, cast

from concordance_shared import InvalidRequestError, ModDefinitionError
from msgspec import Struct

from concordance_sdk.definition import ModDefinition
from concordance_sdk.mod import definition_of
from concordance_sdk.parameters import parse_parameters


class ModUse(Struct, frozen=True, eq=False):
    """A mod and its validated parameters. Made by `use`.

    Attributes:
        definition: The mod.
        parameters: Its parameters, defaults included.

    Examples:
        >>> from concordance_sdk.builtin import StopAfterSentences
        >>> use(StopAfterSentences).parameters
        {'count': 1}
    """

    definition: ModDefinition
    parameters: Mapping[str, Any]


def use(target: Any, /, *positional: Never, **parameters: Any) -> ModUse:
    """Bind parameters to a mod, for `mods()` of another mod or for a test.

    Args:
        target: The mod: a marked function or class, or a bare callable.
        positional: Nothing: parameters are given by name.
        parameters: Its parameters.

    Raises:
        ModDefinitionError: It is not a mod.
        InvalidRequestError: A parameter is missing, unknown, of the wrong type, or not given by
            name.

    Examples:
        A mod that contains two others:

        >>> from concordance_sdk import mod, use
        >>> from concordance_sdk.builtin import InjectAtStart, Replace
        >>> from concordance_sdk.testing import play
        >>> @mod
        ... class Polite:
        ...     name: str = "friend"
        ...
        ...     def mods(self):
        ...         return [
        ...             use(InjectAtStart, text=f"Dear {self.name},"),
        ...             use(Replace, find="no", replacement="not yet"),
        ...         ]
        >>> play(Polite, says=" no.").text
        'Dear friend, not yet.'
    """
    definition = definition_of(target)
    if positional:
        raise _not_by_name(definition, positional)
    return ModUse(
        definition, parse_parameters(definition.parameters, parameters, name=definition.name)
    )


def _not_by_name(definition: ModDefinition, given: Sequence[object]) -> InvalidRequestError:
    """Build the error for `use(Replace, "cat")`."""
    known = definition.parameters.__struct_fields__ if definition.parameters else ()
    if not known:
        return InvalidRequestError(
            f"mod {definition.name!r} has no parameters, but {given!r:.60} was given"
        )
    target = getattr(definition.target, "__name__", definition.name)
    named = ", ".join(f"{name}={value!r:.40}" for name, value in zip(known, given, strict=False))
    return InvalidRequestError(
        f"mod {definition.name!r} takes its parameters by name: use({target}, {named}); "
        f"its parameters are: {', '.join(known)}"
    )


def uses_of(contained: object, *, name: str) -> tuple[ModUse, ...]:
    """Validate the return value of a mod's `mods()`.

    Args:
        contained: A list of mods, with or without parameters.
        name: The mod that contains them, for messages.

    Raises:
        ModDefinitionError: It is not a list, or an element is not a mod.
        InvalidRequestError: An element lacks a required parameter.
    """
    if not isinstance(contained, Iterable) or isinstance(contained, str | bytes):
        raise ModDefinitionError(
            f"mod {name!r}: `mods()` returned {contained!r:.80}; it returns a list of mods, each "
            "as it is or as `use(mod, parameter=value)`",
            mod=name,
        )
    each = cast(Iterable[object], contained)
    return tuple(item if isinstance(item, ModUse) else use(item) for item in each)
