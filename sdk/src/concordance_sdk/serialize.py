"""A mod as the body of `POST /v1/mods`: its source, its entry point, and all files of a folder."""

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
    package's files; clients of the older SDK give them as `source` too.

    Attributes:
        name: What requests will call it.
        entrypoint: The function or class in the module.
        module: The module's name; in `files`, dotted from the folder. It may be left out, or be
            `None`, where there is one file.
        language: Only Python is known.
        source: The text of the module, or what `files` is.
        files: Relative path -> text. A list of paths of the server's is refused.
        dir: A path of the server's: refused.

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


def serialize_mod(
    target: Any, *, name: str | None = None, folder: "Path | None" = None
) -> ModPayload:
    """The payload that uploads a mod.

    Args:
        target: The function or class.
        name: What requests will call it; its own name if left out.
        folder: For a mod that needs more than its module: the folder that holds them all. Every
            `.py` file below it goes along.

    Raises:
        ModDefinitionError: It is not a mod, its source cannot be read, it is not at the top level
            of its module, or its module is not in the folder.

    Examples:
        >>> from concordance_sdk.builtin import StopAt
        >>> payload = serialize_mod(StopAt, name="stop")
        >>> payload.name, payload.entrypoint, payload.module
        ('stop', 'StopAt', 'stop')
    """
    definition = definition_of(target)
    if "." in target.__qualname__:
        raise ModDefinitionError(
            f"mod {definition.name!r} ({definition.where}) is defined inside "
            f"{target.__qualname__.rpartition('.')[0]}; move it to the top level of its module"
        )
    path = _source_path(definition)
    payload = ModPayload(name=name or definition.name, entrypoint=target.__name__)
    if folder is None:
        payload.module, payload.source = path.stem, path.read_text("utf-8")
    else:
        payload.module, payload.files = _dotted(path, folder, definition.name), _files(folder)
    return payload


def _source_path(definition: ModDefinition) -> "Path":
    from pathlib import Path  # noqa: PLC0415  # who writes a mod pays for what it imports

    path = Path(definition.where.rpartition(":")[0])
    if not path.is_file():
        raise ModDefinitionError(
            f"mod {definition.name!r}: its source is in no file; write it into one and import it "
            "from there"
        )
    return path.resolve()


def _dotted(path: "Path", folder: "Path", name: str) -> str:
    try:
        relative = path.relative_to(folder.resolve())
    except ValueError:
        raise ModDefinitionError(f"mod {name!r} is in {path}, which is not in {folder}") from None
    parts = relative.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _files(folder: "Path") -> dict[str, str]:
    """Every Python file below the folder, by its path relative to it."""
    root = folder.resolve()
    return {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for path in sorted(root.rglob("*.py"))
        if "__pycache__" not in path.parts
    }
