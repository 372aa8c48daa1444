"""The parameters of a class mod: its annotated attributes, validated from what a request gives."""

import copy
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, get_origin

import msgspec
from concordance_shared import InvalidRequestError, ModDefinitionError


def parameters_of(cls: type, *, name: str, where: str) -> type[msgspec.Struct]:
    """A struct type with one field for each annotated attribute of a class.

    An attribute with a value is optional; each request gets a copy of a list or a dict. Names with
    a leading underscore and class variables are the mod's own affair.

    Raises:
        ModDefinitionError: An annotation cannot be resolved or validated.
    """
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
        fields: list[Any] = [
            _field(cls, key, hint) for key, hint in hints.items() if _is_one(key, hint)
        ]
        return msgspec.defstruct(
            f"{cls.__name__}Parameters", fields, kw_only=True, forbid_unknown_fields=True
        )
    except (TypeError, NameError) as exc:
        raise ModDefinitionError(
            f"mod {name!r} ({where}): its annotated attributes are parameters, and one of them "
            f"cannot be validated: {exc}; use plain types such as str, int, float, bool, list, "
            "dict or Literal, or a leading underscore for state of the mod's own",
            mod=name,
        ) from exc


def _is_one(key: str, hint: object) -> bool:
    return not key.startswith("_") and hint is not ClassVar and get_origin(hint) is not ClassVar


def _field(cls: type, key: str, hint: object) -> tuple[str, Any] | tuple[str, Any, Any]:
    try:
        msgspec.json.schema(hint)
    except (TypeError, RuntimeError) as exc:
        raise TypeError(f"no request can give `{key}: {_written(hint)}`") from exc
    if not hasattr(cls, key):
        return (key, hint)
    default = getattr(cls, key)
    if isinstance(default, list | dict | set):
        return (key, hint, msgspec.field(default_factory=lambda: copy.deepcopy(default)))
    return (key, hint, default)


def _written(hint: object) -> str:
    """A type as an author writes it."""
    return getattr(hint, "__name__", None) or repr(hint)


def parse_parameters(
    struct: type[msgspec.Struct] | None,
    values: Mapping[str, Any],
    *,
    name: str,
    strict: bool = True,
    param: str | None = None,
) -> dict[str, Any]:
    """Validate what a request gives for a mod's parameters.

    Args:
        struct: The mod's parameters; `None` for a mod that takes none.
        values: What the request gives.
        name: The mod's name, for messages.
        strict: False lets text stand for numbers, as the command line gives it.
        param: Where in the request the values stand, for messages.

    Raises:
        InvalidRequestError: One is missing, unknown or of the wrong type; the message says which.
    """
    known = struct.__struct_fields__ if struct else ()
    if struct is None and not values:
        return {}
    try:
        converted = msgspec.convert(dict(values), struct or _NoParameters, strict=strict)
    except msgspec.ValidationError as exc:
        expected = ", ".join(known) or "none"
        raise InvalidRequestError(
            f"mod {name!r}: {_lower_first(str(exc))}; its parameters are: {expected}", param=param
        ) from exc
    return {key: getattr(converted, key) for key in known}


class _NoParameters(msgspec.Struct, forbid_unknown_fields=True):
    """What a mod without parameters takes."""


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]
