"""The parameters of a mod, validated for each request.

A class mod has its annotated attributes, a script the arguments after its first.
"""

import copy
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, get_origin

import msgspec
from concordance_shared import InvalidRequestError, ModDefinitionError
from concordance_shared.suggestions import did_you_mean, similar_names
from concordance_shared.surrogates import surrogate_fault
from msgspec.inspect import DictType, FrozenSetType, ListType, SetType, VarTupleType, type_info

_UNKNOWN = re.compile("unknown field `(?P<name>[^`]*)`")

#: Types of which a text given on the command line is one element, or JSON.
_ARRAYS = (ListType, SetType, FrozenSetType, VarTupleType)

_REQUIRED = object()


def parameters_of(cls: type, *, name: str, where: str) -> type[msgspec.Struct]:
    """Define a struct with one field per annotated attribute of a class.

    An attribute with a value is optional; each request gets a copy of a list or a dict. Names with
    a leading underscore and class variables are not parameters.

    Raises:
        ModDefinitionError: An annotation cannot be resolved or validated.
    """

    def fields() -> list[Any]:
        hints = typing.get_type_hints(cls, include_extras=True)
        return [
            _field(key, hint, getattr(cls, key, _REQUIRED))
            for key, hint in hints.items()
            if _is_parameter(key, hint)
        ]

    return _struct(cls.__name__, fields, "its annotated attributes are parameters", name, where)


def script_parameters(
    function: Callable[..., object], *, name: str, where: str
) -> type[msgspec.Struct] | None:
    """Define a struct with one field per argument of a script after its first; `None` for none.

    Raises:
        ModDefinitionError: It does not take a run, or an argument has no type that can be
            validated.
    """
    arguments = list(inspect.signature(function).parameters.values())
    if problem := _script_problem(arguments):
        raise ModDefinitionError(f"mod {name!r} ({where}): {problem}", mod=name)

    def fields() -> list[Any]:
        hints = typing.get_type_hints(function, include_extras=True)
        return [
            _field(
                each.name,
                hints[each.name],
                _REQUIRED if each.default is each.empty else each.default,
            )
            for each in arguments[1:]
        ]

    what = "the arguments of a script after `run` are parameters"
    return _struct(function.__name__, fields, what, name, where) if arguments[1:] else None


def _script_problem(arguments: Sequence[inspect.Parameter]) -> str | None:
    """Describe what is wrong with the arguments of a script."""
    taken = ", ".join(map(str, arguments))
    if not arguments or arguments[0].kind in (
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    ):
        return f"a script takes a run and its parameters, (run, ...), not ({taken})"
    if arguments[0].name in ("event", "actions"):
        return (
            f"it takes ({taken}) and yields: a script yields steps and takes a run, (run, ...); a "
            "handler of events returns its action"
        )
    for each in arguments[1:]:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.POSITIONAL_ONLY):
            return f"the parameter `{each}` of a script has no name that a request can give"
        if each.annotation is each.empty:
            return f"the parameter `{each.name}` has no type: write `{each.name}: str`, for example"
    return None


def _struct(
    owner: str, fields: Callable[[], list[Any]], what: str, name: str, where: str
) -> type[msgspec.Struct]:
    """Define the struct of a mod's parameters.

    Raises:
        ModDefinitionError: A type cannot be resolved or validated.
    """
    try:
        return msgspec.defstruct(
            f"{owner}Parameters", fields(), kw_only=True, forbid_unknown_fields=True
        )
    except (TypeError, NameError) as exc:
        raise ModDefinitionError(
            f"mod {name!r} ({where}): {what}, and one of them cannot be validated: {exc}; use "
            "plain types such as str, int, float, bool, list, dict or Literal, or a leading "
            "underscore for state of the mod's own",
            mod=name,
        ) from exc


def _is_parameter(key: str, hint: object) -> bool:
    return not key.startswith("_") and hint is not ClassVar and get_origin(hint) is not ClassVar


def _field(key: str, hint: object, default: object) -> tuple[str, Any] | tuple[str, Any, Any]:
    try:
        msgspec.json.schema(hint)
    except (TypeError, RuntimeError) as exc:
        written = getattr(hint, "__name__", None) or repr(hint)
        raise TypeError(f"no request can give `{key}: {written}`") from exc
    if default is _REQUIRED:
        return (key, hint)
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
            f"mod {name!r}: {_lower_first(str(exc))}{_json_hint(values)}"
            f"{did_you_mean(close, listed)}",
            param=param,
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
    kind = type_info(hint)
    if isinstance(kind, _ARRAYS) and not text.startswith("["):
        return [text]
    if isinstance(kind, (*_ARRAYS, DictType)):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text  # refused with the expected type
    return text


def _json_hint(values: Mapping[str, Any]) -> str:
    """The end of a message about a text that looks like a list, but is no JSON."""
    for key, value in values.items():
        if isinstance(value, str) and value.startswith("[") and not _is_json(value):
            return f'; a list is JSON, with texts in quotes: {key}=["a","b"]'
    return ""


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]
