"""Builds the upload of a mod from a file or folder, as `--mods` loads it."""

from collections.abc import Sequence
from pathlib import Path

from concordance_sdk import ModPayload
from concordance_sdk.host import ModDefinition
from concordance_shared import ModLoadError

from concordance_inference.mods.loading import LoadedMods, load_mods


def push_payload(
    path: Path, *, folder: Path | None = None, mod: str | None = None, name: str | None = None
) -> ModPayload:
    """Build the payload that uploads a mod of a file, or of a folder with all its files.

    Args:
        path: The Python file or the folder.
        folder: The folder whose files are uploaded with a file.
        mod: The mod, if there are several.
        name: The name that requests use; the mod's own by default.

    Raises:
        ModLoadError: The files cannot be loaded, have several mods, or not this one.
    """
    path = path.resolve()
    loaded = load_mods(path, folder=folder and folder.resolve())
    definition = _chosen(loaded, path, mod)
    module, entrypoint = _entry_point(loaded, definition)
    return ModPayload(
        name=name or definition.name,
        entrypoint=entrypoint,
        module=module,
        files=dict(loaded.space.names.sources.values()),
        home=loaded.space.home,
    )


def _chosen(loaded: LoadedMods, path: Path, name: str | None) -> ModDefinition:
    """Return the mod of that name; without a name, the only one of the path itself."""
    own = _defined_in(path, loaded.definitions)
    candidates = own if name is None else [d for d in loaded.definitions if d.name == name]
    if len(candidates) == 1:
        return candidates[0]
    defined = ", ".join(d.name for d in own)
    if name is not None:
        raise ModLoadError(f"{path} defines {defined}, and not {name!r}; choose one with --mod")
    raise ModLoadError(f"{path} defines {defined}; choose one with --mod")


def _defined_in(path: Path, definitions: Sequence[ModDefinition]) -> list[ModDefinition]:
    """Return the mods that a file defines, not those of what it imports; all mods of a folder."""
    own = [d for d in definitions if d.where.rpartition(":")[0] == str(path)]
    return own or list(definitions)


def _entry_point(loaded: LoadedMods, definition: ModDefinition) -> tuple[str, str]:
    """Return a module and the name by which the server finds a mod in it.

    That is the name of the function or class, or of the variable that it was assigned to; without
    one, the name under which importing the module registers the mod.
    """
    space, registering = loaded.space, loaded.modules[definition]
    bound = [
        (space.names.plain(fullname) or "", attribute)
        for fullname, module in space.modules.items()
        for attribute, value in vars(module).items()
        if value is definition.target
    ]
    own = [each for each in bound if each[0] == registering]
    return next(iter(own or bound), (registering, definition.name))
