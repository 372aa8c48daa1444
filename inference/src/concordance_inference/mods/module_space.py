"""Runs the modules of one source of mods, apart from everybody else's.

Two uploads may both have a module `words`, a folder may be loaded again after it changed while a
request still runs its old version. So modules are made from texts, in a space of their own; they
find each other by their plain names while they are being loaded, and leave nothing behind in
`sys.modules`.
"""

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

_lock = threading.RLock()  # `sys.modules` and `sys.meta_path` belong to the process


class ModuleSpace(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """The modules of some Python files, importable by each other and by nobody else.

    Imports run when a module is loaded; a function that imports a sibling later, when it is
    called, does not find it.
    """

    def __init__(self, files: Mapping[str, str], *, place: str) -> None:
        """Take files; nothing is run yet.

        Args:
            files: Texts by path, relative and with forward slashes: `words.py`, `pack/a.py`.
            place: Where they come from, as tracebacks show it.
        """
        self._place = place
        self._sources = {_module_name(path): (path, text) for path, text in files.items()}
        self._packages = {name.rpartition(".")[0] for name in self._sources} | {
            name for name, (path, _) in self._sources.items() if path.endswith("__init__.py")
        }
        self.modules: dict[str, ModuleType] = {}
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
        return None

    def get_source(self, fullname: str) -> str:
        """The text of a module, also for the lines that tracebacks show."""
        return self._sources[fullname][1] if fullname in self._sources else ""

    def get_code(self, fullname: str) -> CodeType:
        """The code of a module."""
        path = self._sources[fullname][0] if fullname in self._sources else "__init__.py"
        return compile(self.get_source(fullname), f"{self._place}/{path}", "exec")

    @contextmanager
    def _active(self) -> Generator[None]:
        """Make our modules importable inside, and hide other modules of the same names."""
        top_levels = {name.partition(".")[0] for name in self._sources}
        with _lock:
            hidden = {
                name: sys.modules.pop(name)
                for name in list(sys.modules)
                if name.partition(".")[0] in top_levels
            }
            sys.modules.update(self.modules)
            sys.meta_path.insert(0, self)
            try:
                yield
            finally:
                sys.meta_path.remove(self)
                ours = [n for n in list(sys.modules) if n.partition(".")[0] in top_levels]
                self.modules.update({name: sys.modules.pop(name) for name in ours})
                sys.modules.update(hidden)


def _module_name(path: str) -> str:
    """`pack/words.py` -> `pack.words`, `pack/__init__.py` -> `pack`."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
