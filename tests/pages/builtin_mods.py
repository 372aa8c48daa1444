"""The built-in mods with their parameters, from their types and docstrings."""

import inspect
import typing
from collections.abc import Iterator

import concordance_sdk.builtin
import msgspec
from concordance_inference.mods.json_schema import JsonSchemaMod
from concordance_sdk.host import ModDefinition, definition_of
from msgspec import NODEFAULT, Meta

from pages import docstrings

#: The property by which a class computes its `max_backtrack`.
PROPERTY = "max_backtrack"


def definitions() -> list[ModDefinition]:
    """Every mod that a server offers without `--mods`, by name."""
    targets = [getattr(concordance_sdk.builtin, name) for name in concordance_sdk.builtin.__all__]
    found = [definition_of(target) for target in (*targets, JsonSchemaMod)]
    return sorted(found, key=lambda definition: definition.name)


def builtin_mods() -> str:
    """A section for each built-in mod."""
    return "".join(_section(definition) for definition in definitions()) + "\n"


def _section(definition: ModDefinition) -> str:
    doc = docstrings.parse(definition.doc)
    target = definition.target
    parts = [
        f"\n## `{definition.name}`",
        f"`{target.__module__.rpartition('.')[0]}.{target.__name__}`"
        if definition.name != "json_schema"
        else "Offered by the server; not in `concordance_sdk.builtin`.",
        doc.prose,
        "\n".join(_table(definition, doc)),
        f"Held back in a stream (`max_backtrack`): {_max_backtrack(definition)}.",
    ]
    if "Examples" in doc.sections:
        parts.append(docstrings.examples(doc.sections["Examples"]))
    return "\n\n".join(parts) + "\n"


def _table(definition: ModDefinition, doc: docstrings.Docstring) -> Iterator[str]:
    described = {item.name: item.text for item in docstrings.items(doc.sections["Attributes"])}
    yield "| parameter | type | default | meaning |"
    yield "|---|---|---|---|"
    assert definition.parameters is not None
    for field in msgspec.structs.fields(definition.parameters):
        default = "required" if field.required else f"`{default_of(field)}`"
        yield f"| `{field.name}` | {type_of(field.type)} | {default} | {described[field.name]} |"


def documented_type(field: msgspec.structs.FieldInfo) -> str:
    """A parameter's type as a docstring has it in parentheses: `int, at least 1, default 1`."""
    default = "" if field.required else f", default {default_of(field)}"
    return type_of(field.type) + default


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """The default of a parameter, as Python source."""
    value = field.default if field.default is not NODEFAULT else field.default_factory()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def type_of(hint: object) -> str:
    """A parameter's type and bounds in words: `list of 1 to 256 str, each 1 to 512 characters`."""
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(f'"{value}"' for value in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Annotated:
        inner, meta = typing.get_args(hint)
        return _bounded(inner, meta)
    return getattr(hint, "__name__", str(hint))


def _bounded(inner: object, meta: Meta) -> str:
    if typing.get_origin(inner) is list:
        (element,) = typing.get_args(inner)
        of, _, rest = type_of(element).partition(", ")
        return f"list of {meta.min_length} to {meta.max_length} {of}, each {rest}"
    if meta.max_length is not None:
        low = "at most" if meta.min_length is None else f"{meta.min_length} to"
        return f"{type_of(inner)}, {low} {meta.max_length} characters"
    return f"{type_of(inner)}, at least {meta.ge}"


def _max_backtrack(definition: ModDefinition) -> str:
    if inspect.isdatadescriptor(getattr(definition.target, PROPERTY, None)):
        return "by its parameters, at least 32 tokens"
    if definition.max_backtrack is None:
        return "the whole completion"
    return f"{definition.max_backtrack} tokens" if definition.max_backtrack else "nothing"
