"""A mod as the body of `POST /v1/mods`: its source, its entry point, or all files of a folder."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from concordance_shared import ModDefinitionError

from concordance_sdk.definition import ModDefinition
from concordance_sdk.mod import definition_of

if TYPE_CHECKING:
    from pathlib import Path


class ModPayload(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of `POST /v1/mods`.

    Either `source` is the text of one module, or `files` maps relative paths to the texts of a
    package's files. Clients of the older SDK send that mapping as `source`, too.

    Attributes:
        name: The name by which requests refer to the mod.
        entrypoint: The function or class in the module, or the name of a mod that the module
            registers.
        module: The name of the module; in `files`, dotted relative to the folder. Optional, or
            `None`, if there is only one file.
        language: Always `python`.
        source: The text of the module, or the value of `files`.
        files: Relative path -> text. A list of paths on the server is rejected.
        dir: A path on the server; rejected.
        home: A package of `files` whose modules can also be imported without its name.

    Examples:
        >>> ModPayload(name="greet", entrypoint="greet", source="...").module
        'client_mod'
    """

    name: str
    entrypoint: str
    module: str | None = "client_mod"
    language: str = "python"
    source: str | dict[str, str] | None = None
    files: dict[str, str] | list[str] | None = None
    dir: str | None = None
    home: str = ""


def serialize_mod(
    target: Any, *, name: str | None = None, folder: "Path | None" = None
) -> ModPayload:
    """Build the payload that uploads a mod.

    Args:
        target: The function or class.
        name: The name by which requests refer to the mod; its own name by default.
        folder: For a mod that needs more than its module: the folder that contains all of it. All
            `.py` files in it are included.

    Raises:
        ModDefinitionError: It is not a mod, its source cannot be read, it has no name at the top
            level of a module, or its module is not in the folder.

    Examples:
        >>> from concordance_sdk.builtin import StopAt
        >>> payload = serialize_mod(StopAt, name="stop")
        >>> payload.name, payload.entrypoint, payload.module
        ('stop', 'StopAt', 'stop')
    """
    definition = definition_of(target)
    path, entrypoint = _found(definition)
    payload = ModPayload(name=name or definition.name, entrypoint=entrypoint)
    if folder is None:
        payload.module, payload.source = path.stem, path.read_text("utf-8")
    else:
        payload.module, payload.files = _dotted(path, folder, definition.name), _files(folder)
    return payload


def _found(definition: ModDefinition) -> "tuple[Path, str]":
    """The file in which a mod has a name at the top level, and that name."""
    from pathlib import Path  # noqa: PLC0415  # keeps the import of the SDK fast

    for file, attribute in _names_of(definition.target):
        if (path := Path(file)).is_file():
            return path.resolve(), attribute
    where, target = definition.where, definition.target
    if (path := Path(where.rpartition(":")[0])).is_file():
        if "." not in target.__qualname__:  # in a module that was loaded without `sys.modules`
            return path.resolve(), target.__name__
        raise ModDefinitionError(
            f"mod {definition.name!r} ({where}) has no name at the top level of its module; "
            "assign it to one there, so that a server finds it"
        )
    raise ModDefinitionError(
        f"mod {definition.name!r}: its source is not in a file; write it to one and import "
        "it from there"
    )


def _names_of(target: Any) -> Iterator[tuple[str, str]]:
    """Files of imported modules, and the name that an object has there; its own module first.

    A class that a function such as `constrain` makes has its name only in the module that assigns
    it, and a class that is imported also in the modules that import it.
    """
    own = getattr(target, "__module__", "")
    modules = sorted(sys.modules.items(), key=lambda named: named[0] != own)
    for _, module in modules:
        attributes = dict(getattr(module, "__dict__", {}))  # some entries are not modules
        if isinstance(file := attributes.get("__file__"), str):
            names = [name for name, value in attributes.items() if value is target]
            yield from ((file, name) for name in names)


def _dotted(path: "Path", folder: "Path", name: str) -> str:
    try:
        relative = path.relative_to(folder.resolve())
    except ValueError:
        raise ModDefinitionError(f"mod {name!r} is in {path}, which is not in {folder}") from None
    parts = relative.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _files(folder: "Path") -> dict[str, str]:
    """Return the text of every Python file in a folder, by relative path."""
    root = folder.resolve()
    return {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for path in sorted(root.rglob("*.py"))
        if "__pycache__" not in path.parts
    }
