"""The parameters of a class mod: its annotated attributes, validated for each request."""

import copy
import re
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, get_origin

import msgspec
from concordance_shared import InvalidRequestError, ModDefinitionError
from concordance_shared.suggestions import did_you_mean, similar_names
from concordance_shared.surrogates import surrogate_fault
from msgspec import inspect

_UNKNOWN = re.compile("unknown field `(?P<name>[^`]*)`")

#: Types of which a text given on the command line is one element, or JSON.
_ARRAYS = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)


def parameters_of(cls: type, *, name: str, where: str) -> type[msgspec.Struct]:
    """Define a struct with one field per annotated attribute of a class.

    An attribute with a value is optional; each request gets a copy of a list or a dict. Names with
    a leading underscore and class variables are not parameters.

    Raises:
        ModDefinitionError: An annotation cannot be resolved or validated.
    """
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
        fields: list[Any] = [
            _field(cls, key, hint) for key, hint in hints.items() if _is_parameter(key, hint)
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


def _is_parameter(key: str, hint: object) -> bool:
    return not key.startswith("_") and hint is not ClassVar and get_origin(hint) is not ClassVar


def _field(cls: type, key: str, hint: object) -> tuple[str, Any] | tuple[str, Any, Any]:
    try:
        msgspec.json.schema(hint)
    except (TypeError, RuntimeError) as exc:
        written = getattr(hint, "__name__", None) or repr(hint)
        raise TypeError(f"no request can give `{key}: {written}`") from exc
    if not hasattr(cls, key):
        return (key, hint)
    default = getattr(cls, key)
    if isinstance(default, list | dict | set):
        return (key, hint, msgspec.field(default_factory=lambda: copy.deepcopy(default)))
    return (key, hint, default)


def parse_parameters(
    struct: type[msgspec.Struct] | None,
    values: Mapping[str, Any],
    *,
    name: str,
    strict: bool = True,
    param: str | None = None,
) -> dict[str, Any]:
    """Validate the values that a request gives for a mod's parameters.

    Args:
        struct: The mod's parameters; `None` for a mod without any.
        values: The request's values.
        name: The mod's name, for messages.
        strict: False accepts text for other types, as the command line gives it: a number, the one
            element of a list, or JSON.
        param: The request field that holds the values, for messages.

    Raises:
        InvalidRequestError: A value is missing, unknown or of the wrong type; the message names it.

    Examples:
        >>> class Avoid:
        ...     words: list[str]
        >>> words = parameters_of(Avoid, name="avoid", where="here")
        >>> parse_parameters(words, {"words": "red"}, name="avoid", strict=False)
        {'words': ['red']}
        >>> parse_parameters(words, {"words": '["red", "blue"]'}, name="avoid", strict=False)
        {'words': ['red', 'blue']}
    """
    known = struct.__struct_fields__ if struct else ()
    if struct is None and not values:
        return {}
    if struct is not None and not strict:
        values = _decoded(struct, values)
    try:
        converted = msgspec.convert(dict(values), struct or _NoParameters, strict=strict)
    except msgspec.ValidationError as exc:
        listed = f"its parameters are: {', '.join(known) or 'none'}"
        unknown = _UNKNOWN.search(str(exc))
        close = similar_names(unknown["name"], known, cutoff=0.6) if unknown else []
        raise InvalidRequestError(
            f"mod {name!r}: {_lower_first(str(exc))}{did_you_mean(close, listed)}", param=param
        ) from exc
    for key, value in values.items():
        if fault := surrogate_fault(value):
            raise InvalidRequestError(f"mod {name!r}: `{key}`: {fault}", param=param)
    return {key: getattr(converted, key) for key in known}


class _NoParameters(msgspec.Struct, forbid_unknown_fields=True):
    """The parameters of a mod that has none."""


def _decoded(struct: type[msgspec.Struct], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with texts for lists and objects decoded."""
    types = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    return {
        key: _decode_text(value, types[key]) if isinstance(value, str) and key in types else value
        for key, value in values.items()
    }


def _decode_text(text: str, hint: object) -> Any:
    kind = inspect.type_info(hint)
    if isinstance(kind, _ARRAYS) and not text.startswith("["):
        return [text]
    if isinstance(kind, (*_ARRAYS, inspect.DictType)):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text  # refused with the expected type
    return text


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]
