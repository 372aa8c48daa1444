"""Runs the modules of one source of mods, apart from everybody else's.

Two uploads may both have a module `words`, a folder may be loaded again after it changed while a
request still runs its old version. So modules are made from texts, in a space of their own; they
find each other by their plain names, while they are being loaded and later, and leave nothing
behind in `sys.modules`. Sources that speak of the older SDK find its names the same way.
"""

import builtins
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from types import CodeType, ModuleType
from typing import Any

from concordance_inference.mods.older_sdk import aliases

_lock = threading.RLock()  # `sys.modules` and `sys.meta_path` belong to the process


class ModuleSpace(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """The modules of some Python files, importable by each other and by nobody else."""

    def __init__(self, files: Mapping[str, str], *, place: str) -> None:
        """Take files; nothing is run yet.

        Args:
            files: Texts by path, relative and with forward slashes: `words.py`, `pack/a.py`.
            place: Where they come from, as tracebacks show it.
        """
        self._place = place
        self._sources = {module_name(path): (path, text) for path, text in files.items()}
        self._packages = {name.rpartition(".")[0] for name in self._sources} | {
            name for name, (path, _) in self._sources.items() if path.endswith("__init__.py")
        }
        self.modules: dict[str, ModuleType] = {}
        self.speaks_of_older_sdk = aliases.uses_older_names(files)
        names = [*self._sources, *(aliases.ALIASES if self.speaks_of_older_sdk else ())]
        self._top_levels = frozenset(name.partition(".")[0] for name in names)
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._is_active = False
        digest = hashlib.sha256()
        for path, text in sorted(files.items()):
            digest.update(f"{len(path)}:{path}{len(text)}:{text}".encode())
        self.version = digest.hexdigest()[:12]

    @property
    def module_names(self) -> tuple[str, ...]:
        """The modules that can be loaded, dotted."""
        return tuple(sorted(self._sources))

    def load(self, name: str) -> ModuleType:
        """Load a module and what it imports.

        Raises:
            BaseException: Whatever its code raised.
        """
        with self._active():
            return importlib.import_module(name)

    # importlib's protocol

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Where importlib finds our modules."""
        del path, target
        if fullname in self._sources:
            origin = f"{self._place}/{self._sources[fullname][0]}"
            is_package = fullname in self._packages
            return importlib.util.spec_from_loader(
                fullname, self, origin=origin, is_package=is_package
            )
        if fullname in self._packages:  # a folder without __init__.py
            return importlib.util.spec_from_loader(fullname, self, is_package=True)
        if self._is_alias(fullname):
            is_package = aliases.is_package(fullname)
            return importlib.util.spec_from_loader(fullname, self, is_package=is_package)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run a module; what it imports, now or later, it looks for here first."""
        if self._is_alias(module.__name__):
            aliases.fill(module)
        else:
            vars(module)["__builtins__"] = self._builtins
            super().exec_module(module)

    def get_source(self, fullname: str) -> str:
        """The text of a module, also for the lines that tracebacks show."""
        return self._sources[fullname][1] if fullname in self._sources else ""

    def get_code(self, fullname: str) -> CodeType:
        """The code of a module."""
        path = self._sources[fullname][0] if fullname in self._sources else "__init__.py"
        return compile(self.get_source(fullname), f"{self._place}/{path}", "exec")

    def _is_alias(self, name: str) -> bool:
        """Whether a module is one of the older SDK, and not the source's own."""
        is_own = name in self._sources or name in self._packages
        return self.speaks_of_older_sdk and name in aliases.ALIASES and not is_own

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002  # called as `__import__` is
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """The `__import__` of our modules."""
        fullname = name
        if level:
            package = str((globals or {}).get("__package__"))
            fullname = importlib.util.resolve_name("." * level + name, package)
        if fullname.partition(".")[0] not in self._top_levels:
            return __import__(name, globals, locals, fromlist or (), level)
        loaded = self.modules.get(fullname)
        if loaded and fromlist and all(hasattr(loaded, item) for item in fromlist):
            return loaded
        with self._active():
            return __import__(name, globals, locals, fromlist or (), level)

    @contextmanager
    def _active(self) -> Generator[None]:
        """Make our modules importable inside, and hide other modules of the same names."""
        with _lock:
            if self._is_active:  # a module that is being loaded imports another
                yield
                return
            hidden = self._taken_out()
            sys.modules.update(self.modules)
            sys.meta_path.insert(0, self)
            self._is_active = True
            try:
                yield
            finally:
                self._is_active = False
                sys.meta_path.remove(self)
                self.modules.update(self._taken_out())
                sys.modules.update(hidden)

    def _taken_out(self) -> dict[str, ModuleType]:
        """The modules of our names, taken out of `sys.modules`."""
        ours = [name for name in list(sys.modules) if name.partition(".")[0] in self._top_levels]
        return {name: sys.modules.pop(name) for name in ours}


def module_name(path: str) -> str:
    """`pack/words.py` -> `pack.words`, `pack/__init__.py` -> `pack`."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
