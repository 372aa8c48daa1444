"""The mods that requests can name: installed ones, those of files and folders, and uploads."""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from concordance_sdk import ModDefinition, ModPayload, registry
from concordance_sdk.parameters import parse_parameters
from concordance_shared import ConcordanceError, ConflictError, ModLoadError, UnknownModError

from concordance_inference.generation import ModCall
from concordance_inference.mods.description import description_of
from concordance_inference.mods.loading import (
    load_entry_points,
    load_path,
    load_payload,
    python_files,
)
from concordance_inference.time_limit import TimeLimitError, run_within

Source = Literal["installed", "path", "uploaded"]

#: How many mods may be uploaded.
MAX_UPLOADS = 64

#: How long the code of an upload may take to load, in seconds.
LOAD_S = 10.0

#: Files are looked at again at most this often, in seconds.
_RECHECK_S = 0.5


class ModEntry(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A mod that requests can name. A running request keeps the entry it started with."""

    definition: ModDefinition
    source: Source
    version: str
    created: int  # Unix time in seconds
    description: msgspec.Raw  # JSON that clients are told

    @property
    def name(self) -> str:
        """What requests call it."""
        return self.definition.name


class NamedMod(msgspec.Struct, frozen=True, kw_only=True):
    """A mod as a request names it."""

    name: str
    params: Mapping[str, Any] = {}
    where: str = "mods"  # the field of the request, for messages


class _WatchedPath:
    """A file or folder whose mods are read again when it changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, ModEntry] = {}
        self.error: ModLoadError | None = None
        self._state: dict[Path, tuple[int, int]] | None = None
        self._checked_at = 0.0

    def refresh(self) -> None:
        """Read again what has changed. What cannot be read any more keeps its names, broken."""
        now = time.monotonic()
        if self._state is not None and now - self._checked_at < _RECHECK_S:
            return
        self._checked_at = now
        state = self._look()
        if state == self._state:
            return
        self._state = state
        try:
            definitions, version = load_path(self.path)
        except ModLoadError as exc:
            self.error = exc
            return
        self.error = None
        self.entries = {d.name: _entry(d, "path", version) for d in definitions}

    def _look(self) -> dict[Path, tuple[int, int]]:
        seen: dict[Path, tuple[int, int]] = {}
        for file in python_files(self.path):
            try:
                stat = file.stat()
            except OSError:
                continue
            seen[file] = (stat.st_mtime_ns, stat.st_size)
        return seen


class ModCatalog:
    """All mods of a server, by name. Safe to use from several threads."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        """Load the mods of installed packages and of files and folders.

        Args:
            paths: Files and folders of the operator's, read again when they change.

        Raises:
            ModLoadError: One cannot be loaded; a server with a guardrail missing does not start.
        """
        self._lock = threading.RLock()
        self._installed = {
            d.name: _entry(d, "installed", "") for d in (*registry, *load_entry_points())
        }
        self._paths = [_WatchedPath(path) for path in paths]
        self._uploaded: dict[str, ModEntry] = {}
        for watched in self._paths:
            watched.refresh()
            if watched.error:
                raise watched.error

    def entries(self) -> list[ModEntry]:
        """Every mod, by name."""
        with self._lock:
            self._refresh()
            merged = {**self._uploaded, **self._installed}
            for watched in self._paths:
                merged.update(watched.entries)
        return sorted(merged.values(), key=lambda entry: entry.name)

    def get(self, name: str, *, param: str = "mods") -> ModEntry:
        """The mod of that name.

        Raises:
            UnknownModError: There is none; the message lists those that are there.
            ModLoadError: Its file was changed and cannot be loaded any more.
        """
        with self._lock:
            self._refresh()
            for watched in self._paths:
                if name in watched.entries:
                    if watched.error:
                        raise watched.error
                    return watched.entries[name]
            entry = self._installed.get(name) or self._uploaded.get(name)
        if entry is None:
            known = ", ".join(entry.name for entry in self.entries()) or "none"
            raise UnknownModError(f"there is no mod {name!r:.80}; known: {known}", param=param)
        return entry

    def resolve(self, named: Sequence[NamedMod], *, strict: bool = True) -> tuple[ModCall, ...]:
        """The mods that a request names, with their parameters validated.

        Args:
            named: The mods in the order in which they act.
            strict: False lets text stand for numbers, as the command line gives it.

        Raises:
            UnknownModError: One is not there.
            InvalidRequestError: A parameter is missing, unknown or of the wrong type.
        """
        return tuple(self._resolved(mod, strict=strict) for mod in named)

    def _resolved(self, mod: NamedMod, *, strict: bool) -> ModCall:
        definition = self.get(mod.name, param=mod.where).definition
        values = parse_parameters(
            definition.parameters,
            mod.params,
            name=mod.name,
            strict=strict,
            param=f"{mod.where}.params",
        )
        return ModCall(definition=definition, parameters=values, name=mod.name)

    def upload(self, payload: ModPayload, *, max_seconds: float = LOAD_S) -> ModEntry:
        """Load an upload and add it, in place of an earlier upload of that name.

        Args:
            payload: The upload.
            max_seconds: How long its code may take to load. One that ends later is not added.

        Raises:
            InvalidRequestError: The payload is malformed.
            ModLoadError: It cannot be loaded, or not in time.
            ConflictError: The name is an operator's mod's, or there are too many uploads.
        """
        self._check_upload(payload)
        entry = _loaded_within(max_seconds, payload)
        with self._lock:
            self._check_upload(payload)
            self._uploaded[entry.name] = entry
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
            if payload.name not in self._uploaded and len(self._uploaded) >= MAX_UPLOADS:
                raise ConflictError(f"{MAX_UPLOADS} mods are uploaded already; delete one first")

    def delete(self, name: str) -> None:
        """Remove an upload; requests that run with it go on.

        Raises:
            UnknownModError: There is no such mod.
            ConflictError: It is the operator's.
        """
        entry = self.get(name, param="name")
        if entry.source != "uploaded":
            raise ConflictError(f"mod {name!r:.80} belongs to this server's operator")
        with self._lock:
            self._uploaded.pop(name, None)

    def _refresh(self) -> None:
        for watched in self._paths:
            watched.refresh()


def _loaded_within(seconds: float, payload: ModPayload) -> ModEntry:
    """Load an upload, whose code may raise anything or never end.

    Raises:
        ConcordanceError: It cannot be loaded, or not in time.
    """
    what = f"mod {payload.name!r:.80}"
    try:
        return run_within(seconds, lambda: _entry_of(payload))
    except ConcordanceError:
        raise
    except TimeLimitError as exc:
        raise ModLoadError(f"{what} does not come to an end: {exc}") from exc
    except BaseException as exc:  # on a thread of its own: nobody means this one
        if isinstance(exc, KeyboardInterrupt) and _is_main_thread():
            raise
        raise ModLoadError(f"{what} cannot be loaded: {type(exc).__name__}: {exc}") from exc


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _entry_of(payload: ModPayload) -> ModEntry:
    definition, version = load_payload(payload)
    return _entry(definition, "uploaded", version)


def _entry(definition: ModDefinition, source: Source, version: str) -> ModEntry:
    created = int(time.time())
    about = {"created": created, "source": source, "version": version}
    return ModEntry(
        definition=definition,
        source=source,
        version=version,
        created=created,
        description=description_of(definition, about),
    )
