"""Loads mods from files, folders, installed packages and uploads.

Loading runs the code in this process, with all of its privileges.
"""

import ast
import importlib.metadata
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

import msgspec
from concordance_sdk import ModPayload
from concordance_sdk.host import ModDefinition, definition_of, marked_definition
from concordance_sdk.registry import ModRegistry, collecting
from concordance_shared import InvalidRequestError, ModLoadError
from msgspec import Struct

from concordance_inference.mods.compat.quote_mod_sdk.aliases import older_definition_of, outermost
from concordance_inference.mods.load_errors import guarded
from concordance_inference.mods.module_names import module_name
from concordance_inference.mods.module_space import ModuleSpace
from concordance_inference.mods.raw_callable import raw_definition_of
from concordance_inference.mods.source_folder import source_folder
from concordance_inference.mods.upload_payload import MAX_SOURCE_LENGTH, Upload, upload_of

__all__ = [
    "ENTRY_POINT_GROUP",
    "MAX_SOURCE_LENGTH",
    "load_entry_points",
    "load_path",
    "load_payload",
    "load_upload",
    "python_files",
]


class LoadedMods(Struct, frozen=True, kw_only=True, eq=False):
    """The mods of a file or folder, and the modules that registered them.

    Attributes:
        space: The modules.
        modules: A mod -> the plain name of the module whose import registers it.
    """

    space: ModuleSpace
    modules: dict[ModDefinition, str]

    @property
    def definitions(self) -> list[ModDefinition]:
        """The mods, in the order of their names' first definition."""
        return list(self.modules)


#: The entry point group in which installed packages list their mods.
ENTRY_POINT_GROUP = "concordance.mods"


def load_path(path: Path, *, folder: Path | None = None) -> tuple[list[ModDefinition], str]:
    """Return the mods of a Python file or of a folder, and their version.

    Args:
        path: The file or the folder.
        folder: The folder that a file can import from; by default, it can import no other file.

    Raises:
        ModLoadError: There is no mod, or loading it raised.
    """
    loaded = load_mods(path, folder=folder)
    return loaded.definitions, loaded.space.version


def load_mods(path: Path, *, folder: Path | None = None) -> LoadedMods:
    """Load the mods of a Python file or of a folder; the arguments are those of `load_path`.

    Raises:
        ModLoadError: There is no mod, or loading it raised.
    """
    if path.is_file():
        return _load_file(path, folder)
    if not path.is_dir():
        raise ModLoadError(f"there is no file or folder of mods at {path}")
    space = _space_of(path, python_files(path))
    entries = space.names.entry_names
    top_level = [name for name in entries if "." not in _in_folder(space, name)]
    nested = [name for name in entries if name not in top_level]
    # In a folder of folders, those with a `mod.py` are mods, as in the older command line.
    mods = [name for name in space.module_names if name.rpartition(".")[2] == "mod"]
    for names in (top_level, mods or nested, space.module_names):
        if loaded := _load_all(space, names, path):
            return loaded
    raise _no_mod(path)


def _no_mod(path: Path) -> ModLoadError:
    meant = _unmarked(path) if path.is_file() else None
    remedy = f"mark `{meant}` with @mod" if meant else "mark a function or a class with @mod"
    return ModLoadError(f"{path} defines no mod; {remedy}")


def _unmarked(path: Path) -> str | None:
    """The first function of a file with the arguments of a script or of a handler."""
    for each in ast.parse(path.read_text("utf-8")).body:
        if not isinstance(each, ast.FunctionDef):
            continue
        arguments = [argument.arg for argument in each.args.args]
        if arguments[:1] == ["run"] or arguments[:2] == ["event", "actions"]:
            return each.name
    return None


def _load_file(path: Path, folder: Path | None) -> LoadedMods:
    if folder is not None and not path.is_relative_to(folder):
        raise ModLoadError(f"{path} is not in {folder}")
    if folder is None:
        space = ModuleSpace(_alone(path), place=str(path.parent))
        beside = path.parent
    else:
        space, beside = _space_of(folder, [path, *python_files(folder)]), None
    name = module_name(path.relative_to(folder or path.parent).as_posix())
    loaded = _load_all(space, [_named_in(space, name)], path, beside=beside)
    if loaded is None:
        raise _no_mod(path)
    return loaded


def _alone(path: Path) -> dict[str, str]:
    try:
        return {path.name: path.read_text("utf-8")}
    except (OSError, UnicodeDecodeError) as exc:
        raise ModLoadError(f"{path} cannot be read: {exc}") from exc


def _space_of(folder: Path, paths: list[Path]) -> ModuleSpace:
    source = source_folder(folder.absolute(), [path.absolute() for path in paths])
    return ModuleSpace(source.files, place=source.place, home=source.home)


def _named_in(space: ModuleSpace, name: str) -> str:
    """Return a module's name in the space, in which the folder may be a package."""
    return f"{space.home}.{name}" if space.home else name


def _in_folder(space: ModuleSpace, name: str) -> str:
    """Return a module's name relative to the folder."""
    return name.removeprefix(f"{space.home}.") if space.home else name


def python_files(path: Path) -> list[Path]:
    """Return the file itself, or all Python files of a folder except tests and hidden ones."""
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
    """Return the mods of installed packages; an entry point is a mod, or a module of mods.

    Raises:
        ModLoadError: An entry point cannot be imported, is not a mod, or has a mod of the same name
            as another.
    """
    definitions: list[ModDefinition] = []
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        where = f"entry point {entry_point.name!r} ({entry_point.value})"
        with collecting() as collected:
            target = guarded(entry_point.load, where)
        if isinstance(target, ModuleType):
            definitions += list(collected) or _marked_in(target)
        else:
            definitions.append(guarded(lambda target=target: definition_of(target), where))
    check_names(definitions, "installed packages")
    return definitions


def check_names(definitions: Iterable[ModDefinition], source: str) -> None:
    """Refuse two different mods of one name, of which requests could reach only one.

    Raises:
        ModLoadError: There are two; the message says where each is.
    """
    by_name: dict[str, ModDefinition] = {}
    for definition in definitions:
        other = by_name.setdefault(definition.name, definition)
        if other.target is not definition.target and _origin(other) != _origin(definition):
            raise ModLoadError(
                f"two {source} define a mod {definition.name!r}: {other.where} and "
                f"{definition.where}; rename or remove one",
                mod=definition.name,
            )


def _origin(definition: ModDefinition) -> tuple[str, str]:
    """The place and name of a definition; the same if a file was loaded twice."""
    return definition.where, getattr(definition.target, "__qualname__", "")


def load_payload(payload: ModPayload) -> tuple[ModDefinition, str]:
    """Return the mod of an upload, under the upload's name, and its version.

    Raises:
        InvalidRequestError: The payload is malformed, or has no such entry point.
        ModLoadError: Loading it raised, or the entry point is not a mod.
    """
    return load_upload(upload_of(payload))


def load_upload(upload: Upload) -> tuple[ModDefinition, str]:
    """Return the mod of a validated upload, under the upload's name, and its version.

    Raises:
        InvalidRequestError: It has no such entry point.
        ModLoadError: Loading it raised, or the entry point is not a mod.
    """
    space = ModuleSpace(upload.files, place=f"<mod {upload.name}>", home=upload.home)
    where = f"mod {upload.name!r}"
    with collecting() as collected:
        module = guarded(lambda: space.load(upload.module), where)
    target = _entry_point(module, upload.entrypoint, collected)
    if target is None:
        raise InvalidRequestError(
            f"{where}: module {upload.module!r} has no {upload.entrypoint!r}; `entrypoint` must "
            "be the name of the function or class that is the mod",
            param="entrypoint",
        )
    define = older_definition_of if space.uses_older_sdk else raw_definition_of
    definition = space.bound(guarded(lambda: define(target), where))
    return msgspec.structs.replace(definition, name=upload.name), space.version


def _entry_point(module: ModuleType, name: str, collected: ModRegistry) -> object | None:
    """Return what `entrypoint` refers to: a marked mod, else a registered one, else any value.

    A mod that was registered without being assigned to a name has only its name in requests.
    """
    target = getattr(module, name, None)
    registered = collected.get(name)
    if registered is None or marked_definition(target) is not None:
        return target
    return registered.target


def _load_all(
    space: ModuleSpace, names: Sequence[str], path: Path, *, beside: Path | None = None
) -> LoadedMods | None:
    """Load modules of a space; return their mods, or `None` if they have none."""
    modules: dict[ModDefinition, str] = {}
    with collecting() as collected:
        for name in names:
            guarded(lambda name=name: space.load(name), f"{path}", beside=beside)
            modules = {definition: modules.get(definition, name) for definition in collected}
    if not modules:
        return None
    if not space.uses_older_sdk:
        check_names((*collected.replaced.values(), *collected), f"functions or classes of {path}")
    loaded = {space.bound(_outermost(space, d)): module for d, module in modules.items()}
    return LoadedMods(space=space, modules=loaded)


def _outermost(space: ModuleSpace, definition: ModDefinition) -> ModDefinition:
    """Return a mod with the decorators of the older SDK above its `@mod`, if there are any."""
    if not space.uses_older_sdk:
        return definition
    offered = [value for module in space.modules.values() for value in vars(module).values()]
    return outermost(definition, offered)


def _marked_in(module: ModuleType) -> list[ModDefinition]:
    """Return the mods of a module that was already imported, which registers nothing again."""
    marked = (marked_definition(value) for value in vars(module).values())
    return [definition for definition in marked if definition is not None]
