"""Loads mods from files, folders, installed packages and uploads.

Everything here runs the code it loads, in this process, with all of this process's rights.
"""

import importlib.metadata
import inspect
import re
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import msgspec
from concordance_sdk import ModDefinition, ModPayload, definition_of
from concordance_sdk.registry import collecting
from concordance_shared import InvalidRequestError, ModError, ModLoadError

from concordance_inference.mods.module_space import ModuleSpace, module_name
from concordance_inference.mods.older_sdk.aliases import older_definition_of
from concordance_inference.mods.raw_callable import raw_definition_of

#: Where our own files are.
_OURS = str(Path(__file__).parent)

#: The entry points by which installed packages offer mods.
ENTRY_POINT_GROUP = "concordance.mods"

#: How many characters of source one upload may have, all its files together.
MAX_SOURCE_LENGTH = 256 * 1024

_MOD_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def load_path(path: Path, *, folder: Path | None = None) -> tuple[list[ModDefinition], str]:
    """The mods of a Python file, or of the files and packages of a folder, and their version.

    Args:
        path: The file or the folder.
        folder: Where a file finds what it imports; in itself alone if left out.

    Raises:
        ModLoadError: There is nothing, or running it raised; the message says where.
    """
    if path.is_file():
        root = folder or path.parent
        files = [path] if folder is None else [path, *python_files(folder)]
        space = ModuleSpace(_texts(files, root), place=str(root))
        return _load_all(space, [_dotted(path, root)], path), space.version
    if not path.is_dir():
        raise ModLoadError(f"there is no file or folder of mods at {path}")
    space = ModuleSpace(_texts(python_files(path), path), place=str(path))
    top_level = [name for name in space.module_names if "." not in name]
    return _load_all(space, top_level, path), space.version


def _dotted(path: Path, root: Path) -> str:
    """The module that a file is in a folder."""
    if not path.is_relative_to(root):
        raise ModLoadError(f"{path} is not in {root}")
    return module_name(path.relative_to(root).as_posix())


def python_files(path: Path) -> list[Path]:
    """The Python files that a path stands for: itself, or all below it but for tests."""
    if path.is_file():
        return [path]
    return [
        file
        for file in sorted(path.rglob("*.py"))
        if not any(part == "__pycache__" or part.startswith(".") for part in file.parts)
        and not file.name.startswith("test_")
        and file.name != "conftest.py"
    ]


def load_entry_points() -> list[ModDefinition]:
    """The mods that installed packages offer, each a function, a class, or a module of them.

    Raises:
        ModLoadError: One cannot be imported, or is no mod; the message says which.
    """
    definitions: list[ModDefinition] = []
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        where = f"entry point {entry_point.name!r} ({entry_point.value})"
        with collecting() as collected:
            target = _guarded(entry_point.load, where)
        if isinstance(target, ModuleType):
            definitions += list(collected) or _marked_in(target)
        else:
            definitions.append(_guarded(lambda target=target: definition_of(target), where))
    return definitions


def load_payload(payload: ModPayload) -> tuple[ModDefinition, str]:
    """The mod of an upload, under the name that it asks for, and its version.

    Raises:
        InvalidRequestError: The payload is malformed; the message names the field.
        ModLoadError: Running it raised, or its entry point is not there or is no mod.
    """
    files = _checked_files(payload)
    space = ModuleSpace(files, place=f"<mod {payload.name}>")
    where = f"mod {payload.name!r}"
    with collecting():
        module = _guarded(lambda: space.load(payload.module), where)
    target = getattr(module, payload.entrypoint, None)
    if target is None:
        raise InvalidRequestError(
            f"{where}: module {payload.module!r} has no {payload.entrypoint!r}; `entrypoint` is "
            "the name of the function or class that is the mod",
            param="entrypoint",
        )
    define = older_definition_of if space.speaks_of_older_sdk else raw_definition_of
    definition = _guarded(lambda: define(target), where)
    return msgspec.structs.replace(definition, name=payload.name), space.version


def _load_all(space: ModuleSpace, names: list[str], path: Path) -> list[ModDefinition]:
    with collecting() as collected:
        for name in names:
            _guarded(lambda name=name: space.load(name), f"{path}")
    if not len(collected):
        raise ModLoadError(f"{path} defines no mod; mark a function or a class with @mod")
    return list(collected)


def _guarded(load: Any, where: str) -> Any:
    """Run somebody's code; whatever it raises becomes a `ModLoadError` that says where."""
    try:
        return load()
    except ModError as exc:
        raise ModLoadError(f"{where}: {exc.message}", mod=exc.mod) from exc
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # `sys.exit()` at the top of a module must not end the server
        raise ModLoadError(f"{where} cannot be loaded: {_described(exc)}") from exc


def _described(exc: BaseException) -> str:
    """What was raised and where in the loaded code: its innermost line."""
    if isinstance(exc, SyntaxError):
        return f"{exc.msg} ({exc.filename}, line {exc.lineno})"
    frames = inspect.getinnerframes(exc.__traceback__) if exc.__traceback__ else []
    frames = [f for f in frames if not f.filename.startswith(_OURS)] or frames
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(exc).__name__}: {exc}{place}"


def _marked_in(module: ModuleType) -> list[ModDefinition]:
    """The mods of a module that was imported before."""
    marked = (getattr(value, "__concordance_mod__", None) for value in vars(module).values())
    return [definition for definition in marked if isinstance(definition, ModDefinition)]


def _texts(files: list[Path], root: Path) -> dict[str, str]:
    try:
        return {file.relative_to(root).as_posix(): file.read_text("utf-8") for file in files}
    except (OSError, UnicodeDecodeError) as exc:
        raise ModLoadError(f"{root} cannot be read: {exc}") from exc


def _checked_files(payload: ModPayload) -> dict[str, str]:
    """The files of an upload, checked."""
    if not _MOD_NAME.fullmatch(payload.name):
        raise InvalidRequestError(
            f"{payload.name!r:.80} cannot name a mod: use lower-case letters, digits, '_' and "
            "'-', at most 64 of them",
            param="name",
        )
    if payload.language != "python":
        raise InvalidRequestError(
            f"mods are written in 'python', not in {payload.language!r:.40}", param="language"
        )
    if not all(part.isidentifier() for part in payload.module.split(".")):
        raise InvalidRequestError(f"{payload.module!r:.80} is no module's name", param="module")
    if (payload.source is None) == (payload.files is None):
        raise InvalidRequestError("give either `source` or `files`", param="source")
    path = f"{payload.module.replace('.', '/')}.py"
    files = payload.files if payload.files is not None else {path: payload.source or ""}
    for name in files:
        parts = PurePosixPath(name).parts
        if not name.endswith(".py") or name.startswith("/") or ".." in parts:
            raise InvalidRequestError(
                f"{name!r:.80} is no relative path of a Python file", param="files"
            )
    if sum(map(len, files.values())) > MAX_SOURCE_LENGTH:
        raise InvalidRequestError(
            f"a mod's source has at most {MAX_SOURCE_LENGTH} characters", param="source"
        )
    return dict(files)
