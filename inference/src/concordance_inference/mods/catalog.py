"""The catalog of mods that requests can name: installed, from files and folders, and uploaded."""

import copy
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from concordance_sdk import ModPayload
from concordance_sdk.host import ModDefinition, registry
from concordance_sdk.parameters import parse_parameters
from concordance_shared import (
    ConflictError,
    ForbiddenError,
    ModLoadError,
    UnknownModError,
)
from concordance_shared.suggestions import did_you_mean, similar_names

from concordance_inference.caller import current_owner
from concordance_inference.generation import ModCall
from concordance_inference.mods.entry import ModEntry, mod_entry, uploaded_entry
from concordance_inference.mods.loading import (
    check_names,
    load_entry_points,
    load_path,
    python_files,
)
from concordance_inference.mods.mod_versions import is_version, split_version
from concordance_inference.mods.uploads import Uploads
from concordance_inference.sandbox.sandboxed_mod import SandboxedMod
from concordance_inference.time_limit import TimeLimitError, run_within

if TYPE_CHECKING:
    from concordance_inference.sandbox.supervisor import Supervisor

logger = logging.getLogger(__name__)

#: Time limit for loading a file that has changed, in seconds.
LOAD_S = 10.0

#: Minimum time between two checks of the files for changes, in seconds.
_RECHECK_S = 0.5


class NamedMod(msgspec.Struct, frozen=True, kw_only=True):
    """A mod's name and parameters in a request."""

    name: str
    params: Mapping[str, Any] = {}
    required: bool = True  # False: it is dropped if it fails
    where: str = "mods"  # the field of the request, for error messages


def defined_in_file(name: str, definitions: Iterable[ModDefinition]) -> str:
    """Return the end of a message: the mods of the file of this name, without its suffix.

    Empty if no mod is defined in such a file.

    Args:
        name: The name that was given for a mod.
        definitions: The mods of the given files.
    """
    places = [(Path(each.where.rpartition(":")[0]), each.name) for each in definitions]
    names = [mod for file, mod in places if name in (file.stem, file.name)]
    return f"; the file {name.removesuffix('.py')}.py defines {', '.join(names)}" if names else ""


class _WatchedPath:
    """A file or folder whose mods are reloaded when it changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, ModEntry] = {}
        self.error: ModLoadError | None = None
        self._state: dict[Path, tuple[int, int]] | None = None
        self._checked_at = 0.0

    def refresh(self) -> None:
        """Reload after a change. If that fails, the mods keep their names and raise the error."""
        now = time.monotonic()
        if self._state is not None and now - self._checked_at < _RECHECK_S:
            return
        self._checked_at = now
        state = self._stat()
        if state == self._state:
            return
        is_first, self._state = self._state is None, state
        if not state and self.path.is_dir():  # files may be added later
            logger.warning(
                "%s has no Python file yet; it is read again for each request", self.path
            )
            self.error, self.entries = None, {}
            return
        try:
            definitions, version = self._load(is_first=is_first)
        except ModLoadError as exc:
            self.error = exc
            if not is_first:  # the first error is raised to the caller
                logger.warning("%s", exc)
            return
        self.error = None
        self.entries = {d.name: mod_entry(d, "path", version) for d in definitions}

    def _load(self, *, is_first: bool) -> tuple[list[ModDefinition], str]:
        """Load the mods; with a time limit when a server is running, which waits for it.

        Raises:
            ModLoadError: They cannot be loaded, or not in time.
        """
        if is_first:
            return load_path(self.path)
        try:
            return run_within(LOAD_S, lambda: load_path(self.path))
        except TimeLimitError as exc:
            raise ModLoadError(f"{self.path} did not finish loading: {exc}") from exc

    def _stat(self) -> dict[Path, tuple[int, int]]:
        seen: dict[Path, tuple[int, int]] = {}
        for file in python_files(self.path):
            try:
                stat = file.stat()
            except OSError:
                continue
            seen[file] = (stat.st_mtime_ns, stat.st_size)
        return seen


class ModCatalog:
    """All mods of a server, by name. Thread-safe."""

    def __init__(self, paths: Iterable[Path] = (), sandbox: "Supervisor | None" = None) -> None:
        """Load the mods of installed packages, files and folders.

        Args:
            paths: The operator's files and folders, reloaded when they change.
            sandbox: Runs uploaded mods; without it, uploads are refused.

        Raises:
            ModLoadError: One cannot be loaded, or two paths, or a path and a package, define a mod
                of one name. A server must not start without a guardrail.
        """
        self._lock = threading.RLock()
        self.sandbox = sandbox
        packaged = load_entry_points()
        self._installed = {d.name: mod_entry(d, "installed", "") for d in (*registry, *packaged)}
        self._paths = [_WatchedPath(path) for path in paths]
        self._uploads = Uploads()
        for watched in self._paths:
            watched.refresh()
            if watched.error:
                raise watched.error
        loaded = self._in_paths()
        check_names(loaded, "paths")
        others = [d for d in packaged if not _is_builtin(d)]  # a path may replace a built-in mod
        check_names((*others, *loaded), "packages or paths")

    def with_files(self, paths: Iterable[Path]) -> "ModCatalog":
        """Return a catalog in which the mods of files replace others of their names.

        Raises:
            ModLoadError: A file cannot be loaded.
        """
        first = [_WatchedPath(path) for path in paths]
        for watched in first:
            watched.refresh()
            if watched.error:
                raise watched.error
        made = copy.copy(self)
        made._paths = [*first, *self._paths]  # noqa: SLF001  # of its own class
        return made

    def _in_paths(self) -> list[ModDefinition]:
        """Return the mods of the operator's files and folders."""
        entries = [entry for path in self._paths for entry in path.entries.values()]
        return [each.definition for each in entries if isinstance(each.definition, ModDefinition)]

    def entries(self) -> list[ModEntry]:
        """Return all mods that the present caller may use, sorted by name."""
        with self._lock:
            self._refresh()
            merged = {**self._uploads.visible(), **self._installed}
            for watched in reversed(self._paths):  # the first has priority, as in `get`
                merged.update(watched.entries)
        return sorted(merged.values(), key=lambda entry: entry.name)

    def of_others(self) -> list[ModEntry]:
        """Return the uploads of other owners, for a caller that sees all."""
        with self._lock:
            return self._uploads.of_others()

    def get(self, name: str, *, param: str = "mods") -> ModEntry:
        """Return a mod by name, or a version of it by `name@sha256:<digits>`.

        Raises:
            UnknownModError: There is no such mod, or version; the message lists the known ones.
            ModLoadError: Its file has changed and can no longer be loaded.
        """
        name, digits = split_version(name)
        current = self._current(name, param=param)
        if digits is None or is_version(current.version, digits):
            return current
        with self._lock:
            selected = self._uploads.selected(name, digits)
        if selected is None:
            known = ", ".join(self.versions(name)) or "none"
            raise UnknownModError(
                f"mod {name!r:.80} has no version sha256:{digits}; it has: {known}", param=param
            )
        return selected

    def versions(self, name: str) -> list[str]:
        """Return the hashes of the versions of a mod that requests can select, the latest last.

        Raises:
            UnknownModError: There is no such mod.
        """
        current = self._current(name, param="name")
        with self._lock:
            versions = self._uploads.versions(name)
        listed = [each for each in versions if each != current.version]
        return [f"sha256:{each}" for each in (*listed, current.version) if each]

    def _current(self, name: str, *, param: str) -> ModEntry:
        with self._lock:
            self._refresh()
            for watched in self._paths:
                if name in watched.entries:
                    if watched.error:
                        raise watched.error
                    return watched.entries[name]
            entry = self._installed.get(name) or self._uploads.get(name)
        if entry is None:
            known = [entry.name for entry in self.entries()]
            listed = did_you_mean(
                similar_names(name[:80], known), f"known: {', '.join(known) or 'none'}"
            )
            file = defined_in_file(name, self._in_paths())
            raise UnknownModError(f"there is no mod {name!r:.80}{file}{listed}", param=param)
        return entry

    def resolve(self, named: Sequence[NamedMod], *, strict: bool = True) -> tuple[ModCall, ...]:
        """Look up the mods of a request and validate their parameters.

        Args:
            named: The mods in the order in which they run.
            strict: False accepts strings for numbers, as the command line needs.

        Raises:
            UnknownModError: There is no such mod.
            InvalidRequestError: A parameter is missing, unknown or of the wrong type.
        """
        return tuple(self._resolved(mod, strict=strict) for mod in named)

    def _resolved(self, mod: NamedMod, *, strict: bool) -> ModCall:
        return call_of(self.get(mod.name, param=mod.where), mod, strict=strict)

    def dry_run_entry(self, payload: ModPayload) -> ModEntry:
        """Load an upload in a worker, without adding it.

        Raises:
            InvalidRequestError: The payload is malformed.
            ModLoadError: It cannot be loaded, or not in time.
            SandboxUnavailableError: No uploaded mod can run here.
        """
        return uploaded_entry(payload, self.sandbox, owner=current_owner())

    def upload(self, payload: ModPayload) -> ModEntry:
        """Load an upload in a worker, and add it to those of the present owner.

        It replaces the owner's earlier upload of the same name.

        Raises:
            InvalidRequestError: The payload is malformed.
            ModLoadError: It cannot be loaded, or not in time.
            SandboxUnavailableError: No uploaded mod can run here.
            ConflictError: A mod of the operator has the name, or there are too many uploads.
        """
        self._check_upload(payload)
        entry = uploaded_entry(payload, self.sandbox, owner=current_owner())
        with self._lock:
            self._check_upload(payload)
            self._uploads.add(entry)
        return entry

    def _check_upload(self, payload: ModPayload) -> None:
        with self._lock:
            self._refresh()
            if payload.name in self._installed or any(
                payload.name in watched.entries for watched in self._paths
            ):
                raise ConflictError(
                    f"mod {payload.name!r:.80} belongs to this server's operator; choose another "
                    "name",
                    param="name",
                )
            self._uploads.check_room(payload.name)

    def delete(self, name: str, *, owner: str | None = None) -> None:
        """Remove an upload; running requests keep it.

        Args:
            name: The mod.
            owner: Who has uploaded it; by default, the present caller.

        Raises:
            UnknownModError: There is no such mod.
            ConflictError: It belongs to the operator.
            ForbiddenError: Another owner shares it.
        """
        with self._lock:
            if self._uploads.remove(name, current_owner() if owner is None else owner):
                return
        entry = self._current(name, param="name")
        if entry.source != "uploaded":
            raise ConflictError(f"mod {name!r:.80} belongs to this server's operator")
        raise ForbiddenError(
            f"the mod {name!r:.80} is one of {entry.owner!r}, who shares it with you; its owner "
            "and the server's admin may delete it"
        )

    def share(self, name: str, owner: str, *, is_shared: bool = True) -> ModEntry:
        """Let all callers use the present version of an upload, or its owner only.

        Later uploads of the owner do not replace what others use.

        Raises:
            UnknownModError: The owner has no such mod.
            ConflictError: Another owner's mod of the name is shared.
        """
        with self._lock:
            return self._uploads.share(name, owner, is_shared=is_shared)

    def _refresh(self) -> None:
        for watched in self._paths:
            watched.refresh()


def call_of(entry: ModEntry, mod: NamedMod, *, strict: bool = True) -> ModCall:
    """Validate the parameters of a mod, which a request names.

    Raises:
        InvalidRequestError: A parameter is missing, unknown or of the wrong type.
    """
    definition = entry.definition
    if isinstance(definition, SandboxedMod):
        return ModCall(
            definition=definition,
            parameters=mod.params,
            name=entry.name,
            version=entry.version,
            where=mod.where,
            required=mod.required,
        )
    values = parse_parameters(
        definition.parameters,
        mod.params,
        name=entry.name,
        strict=strict,
        param=f"{mod.where}.params",
    )
    return ModCall(
        definition=definition,
        parameters=values,
        name=entry.name,
        version=entry.version,
        required=mod.required,
    )


def _is_builtin(definition: ModDefinition) -> bool:
    return definition.target.__module__.startswith("concordance_sdk.builtin")
