"""Runs the modules of one source of mods, isolated from those of all other sources.

Two uploads may both have a module `words`, and a folder may be loaded again after a change while a
request still runs its old version. So each source has a `ModuleSpace`: its modules are built from
texts, import each other by plain names, and have unique full names (see `module_names`).

`sys.modules` contains the modules, under their full names, only while code of the space runs:
dataclasses, `typing.get_type_hints` and `pickle` look them up there.
"""

import builtins
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from types import CodeType, ModuleType
from typing import Any

import msgspec
from concordance_sdk.host import ModDefinition

from concordance_inference.mods.compat.quote_mod_sdk import aliases
from concordance_inference.mods.module_names import ModuleNames


class ModuleSpace(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """The modules of some Python files, importable by each other only."""

    def __init__(self, files: Mapping[str, str], *, place: str, home: str = "") -> None:
        """Create a space; no code runs yet.

        Args:
            files: Relative path with forward slashes -> text: `words.py`, `pack/a.py`.
            place: The folder or label in front of the paths in tracebacks.
            home: A package whose modules can also be imported without its name.
        """
        self._place = place
        self.names = ModuleNames(files, home=home)
        self.modules: dict[str, ModuleType] = {}  # by full name
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._lock = threading.Lock()
        self._num_running = 0  # calls that are running code of the space, in all threads
        self._found: set[str] = set()  # the full names that importlib has loaded

    @property
    def home(self) -> str:
        """The package whose modules can also be imported without its name; may be empty."""
        return self.names.home

    @property
    def version(self) -> str:
        """A hash of the files."""
        return self.names.version

    @property
    def uses_older_sdk(self) -> bool:
        """True if a module imports `quote_mod_sdk`."""
        return self.names.uses_older_sdk

    @property
    def module_names(self) -> tuple[str, ...]:
        """The plain names of all modules, sorted."""
        return tuple(sorted(self.names.sources))

    def load(self, name: str) -> ModuleType:
        """Load a module, and the modules that it imports.

        Raises:
            BaseException: Anything that its code raises.
        """
        return self._loaded(self.names.full(name))

    def bound(self, definition: ModDefinition) -> ModDefinition:
        """Return a mod whose handlers run with the space's modules in `sys.modules`."""
        handlers = {
            event: msgspec.structs.replace(handler, function=self._entering(handler.function))
            for event, handler in definition.handlers.items()
        }
        return msgspec.structs.replace(definition, handlers=handlers)

    # importlib's protocol

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a module of the space."""
        del path, target
        name = self.names.plain(fullname)
        if name is None or not self.names.is_known(name):
            return None
        self._found.add(fullname)
        is_package = self.names.is_package(name)
        spec = importlib.machinery.ModuleSpec(fullname, self, is_package=is_package)
        if name in self.names.sources:
            spec.origin = f"{self._place}/{self.names.sources[name][0]}"
            spec.has_location = True  # the module gets a `__file__`
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(f"{self._place}/{name.replace('.', '/')}")
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Create a module of `quote_mod_sdk`; `None` lets importlib create a module of ours."""
        name = self.names.plain(spec.name) or ""
        return None if self.names.is_own(name) else aliases.OlderModule(spec.name, name, self.load)

    def exec_module(self, module: ModuleType) -> None:
        """Run a module with an `__import__` that searches the space first."""
        if not isinstance(module, aliases.OlderModule):
            vars(module)["__builtins__"] = self._builtins
            # Tracebacks must not show the lines of an older version at the same path.
            linecache.cache.pop(str(getattr(module, "__file__", "")), None)
            super().exec_module(module)

    def get_source(self, fullname: str) -> str:
        """Return the text of a module; tracebacks show its lines."""
        name = self.names.plain(fullname) or ""
        return self.names.sources[name][1] if name in self.names.sources else ""

    def get_code(self, fullname: str) -> CodeType:
        """Compile a module."""
        name = self.names.plain(fullname) or ""
        path = self.names.sources[name][0] if name in self.names.sources else "__init__.py"
        return compile(self.get_source(fullname), f"{self._place}/{path}", "exec")

    # Imports

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002  # the signature of `__import__`
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Replace `__import__` in the modules of the space."""
        found = self._relative(name, globals, level) if level else self.names.resolve(name)
        if found is None:
            if name.partition(".")[0] == "importlib" and not level:
                return self._importlib(name, fromlist)
            return __import__(name, globals, locals, fromlist or (), level)
        module = self.load(found)
        if not fromlist:
            return self.load(self.names.resolve(name.partition(".")[0]) or found)
        for item in fromlist:
            if not hasattr(module, item) and self.names.is_known(f"{found}.{item}"):
                self.load(f"{found}.{item}")
        return module

    def _relative(self, name: str, globals: Mapping[str, Any] | None, level: int) -> str:  # noqa: A002
        """Resolve a relative import to a plain name.

        Raises:
            ImportError: The importing module is in no package, or the import leaves its package.
        """
        package = str((globals or {}).get("__package__") or "")
        if not package:
            raise ImportError("attempted relative import with no known parent package")
        found = self.names.plain(importlib.util.resolve_name("." * level + name, package)) or ""
        if not self.names.is_known(found):
            raise ModuleNotFoundError(f"No module named {found!r}", name=found)
        return found

    def _importlib(self, name: str, fromlist: Sequence[str] | None) -> ModuleType:
        """Return `importlib` with an `import_module` that searches the space first."""
        real = __import__(name, None, None, fromlist or (), 0)
        if name != "importlib" and fromlist:
            return real
        seen = ModuleType("importlib", importlib.__doc__)
        vars(seen).update(vars(importlib), import_module=self._import_module)
        return seen

    def _import_module(self, name: str, package: str | None = None) -> ModuleType:
        if name.startswith("."):
            name = importlib.util.resolve_name(name, package)
            name = self.names.plain(name) or name
        found = self.names.resolve(name)
        return importlib.import_module(name) if found is None else self.load(found)

    def _loaded(self, fullname: str) -> ModuleType:
        if module := self.modules.get(fullname):
            return module
        with self._running():
            sys.meta_path.insert(0, self)
            try:
                return importlib.import_module(fullname)
            finally:
                sys.meta_path.remove(self)

    # `sys.modules`

    def _entering(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any) -> Any:
            with self._running():
                return function(*args)

        return call

    @contextmanager
    def _running(self) -> Generator[None]:
        """Keep the space's modules in `sys.modules` while any thread runs its code."""
        with self._lock:
            self._num_running += 1
            if self._num_running == 1:
                sys.modules.update(self.modules)
        try:
            yield
        finally:
            with self._lock:
                self._num_running -= 1
                if self._num_running == 0:
                    left = {name: sys.modules.pop(name, None) for name in self._found}
                    self.modules.update({n: module for n, module in left.items() if module})
