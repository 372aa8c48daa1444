"""Runs the modules of one source of mods, apart from everybody else's.

Two uploads may both have a module `words`, a folder may be loaded again after it changed while a
request still runs its old version. So modules are made from texts, in a space of their own, and
have names that no other space has: `words@1f2e3d4c-7`. They find each other by their plain names,
while they are being loaded and later. `sys.modules` knows them, by the names that they have in
`__name__`, only while code of the space runs: dataclasses, `typing.get_type_hints` and `pickle`
look there. Sources that speak of the older SDK find its names as they find each other's.
"""

import builtins
import functools
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import linecache
import re
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from types import CodeType, ModuleType
from typing import Any

import msgspec
from concordance_sdk import ModDefinition

from concordance_inference.mods.compat.quote_mod_sdk import aliases
from concordance_inference.mods.compat.quote_mod_sdk.names import ALIASES

#: Makes the names of a space its own, also where the same texts are loaded twice.
_numbers = itertools.count(1)

_OWN = re.compile(r"@[0-9a-f]{8}-\d+")


class ModuleSpace(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """The modules of some Python files, importable by each other and by nobody else."""

    def __init__(self, files: Mapping[str, str], *, place: str, home: str = "") -> None:
        """Take files; nothing is run yet.

        Args:
            files: Texts by path, relative and with forward slashes: `words.py`, `pack/a.py`.
            place: Where they come from, as tracebacks show it.
            home: A package, dotted, whose modules find each other without its name too.
        """
        self._place = place
        self.home = home
        self._sources = {module_name(path): (path, text) for path, text in files.items()}
        self._regular = {n for n, (path, _) in self._sources.items() if path.endswith(_INIT)}
        self._packages = self._regular | {p for name in self._sources for p in _above(name)}
        self.speaks_of_older_sdk = aliases.uses_older_names(files, self._is_own)
        self.version = _digest(files)[:12]
        self._own = f"@{self.version[:8]}-{next(_numbers)}"
        self.modules: dict[str, ModuleType] = {}  # by the names that they have in `__name__`
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._lock = threading.Lock()
        self._depth = 0  # how many calls are running code of the space
        self._found: set[str] = set()  # the names that were ever looked for here and found

    @property
    def module_names(self) -> tuple[str, ...]:
        """The modules that can be loaded, dotted."""
        return tuple(sorted(self._sources))

    @property
    def entry_names(self) -> tuple[str, ...]:
        """The modules that no regular package holds: those packages load their own."""
        inside = {n for n in self._sources if any(p in self._regular for p in _above(n))}
        return tuple(sorted(self._sources.keys() - inside))

    def load(self, name: str) -> ModuleType:
        """Load a module and what it imports.

        Raises:
            BaseException: Whatever its code raised.
        """
        return self._loaded(self._inside(name))

    def bound(self, definition: ModDefinition) -> ModDefinition:
        """A mod of the space whose handlers run where `sys.modules` knows the space's modules."""
        handlers = {
            event: msgspec.structs.replace(handler, function=self._at_home(handler.function))
            for event, handler in definition.handlers.items()
        }
        return msgspec.structs.replace(definition, handlers=handlers)

    # importlib's protocol

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Where importlib finds our modules."""
        del path, target
        name = self._plain(fullname)
        if name is None or not (self._is_own(name) or self._is_alias(name)):
            return None
        self._found.add(fullname)
        spec = importlib.machinery.ModuleSpec(fullname, self, is_package=self._is_package(name))
        if name in self._sources:
            spec.origin = f"{self._place}/{self._sources[name][0]}"
            spec.has_location = True  # the module has a `__file__`
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(f"{self._place}/{name.replace('.', '/')}")
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """A module of the older SDK, or `None` for one as importlib makes it."""
        name = self._plain(spec.name) or ""
        if self._is_own(name):
            return None
        return aliases.OlderModule(spec.name, name, lambda inner: self._loaded(self._inside(inner)))

    def exec_module(self, module: ModuleType) -> None:
        """Run a module; what it imports, now or later, it looks for here first."""
        if not isinstance(module, aliases.OlderModule):
            vars(module)["__builtins__"] = self._builtins
            # Another version may have been loaded from the same place: tracebacks show this one.
            linecache.cache.pop(str(getattr(module, "__file__", "")), None)
            super().exec_module(module)

    def get_source(self, fullname: str) -> str:
        """The text of a module, also for the lines that tracebacks show."""
        name = self._plain(fullname) or ""
        return self._sources[name][1] if name in self._sources else ""

    def get_code(self, fullname: str) -> CodeType:
        """The code of a module."""
        name = self._plain(fullname) or ""
        path = self._sources[name][0] if name in self._sources else _INIT
        return compile(self.get_source(fullname), f"{self._place}/{path}", "exec")

    # Names

    def _inside(self, name: str) -> str:
        """`pack.words` -> `pack@1f2e3d4c-7.words`, which only this space has."""
        top, dot, rest = name.partition(".")
        return f"{top}{self._own}{dot}{rest}"

    def _plain(self, fullname: str) -> str | None:
        """`pack@1f2e3d4c-7.words` -> `pack.words`; `None` for a name of somebody else's."""
        top, dot, rest = fullname.partition(".")
        return f"{top.removesuffix(self._own)}{dot}{rest}" if top.endswith(self._own) else None

    def _is_own(self, name: str) -> bool:
        return name in self._sources or name in self._packages

    def _is_alias(self, name: str) -> bool:
        """Whether a module is one of the older SDK, and not the source's own."""
        return self.speaks_of_older_sdk and name in ALIASES and not self._is_own(name)

    def _is_package(self, name: str) -> bool:
        return name in self._packages or (self._is_alias(name) and aliases.is_package(name))

    def _is_known(self, name: str) -> bool:
        return self._is_own(name) or self._is_alias(name)

    def _meant(self, name: str) -> str | None:
        """The module of ours that a plain name means; `None` if it is not for us to say.

        Raises:
            ModuleNotFoundError: It is in a package of ours, which has none of that name.
        """
        top = name.partition(".")[0]
        is_folder = top in self._packages and top not in self._regular
        if is_folder and top in sys.stdlib_module_names:  # as Python has it
            return None
        if self._is_known(name):
            return name
        at_home = f"{self.home}.{name}"
        if self.home and top not in sys.stdlib_module_names and self._is_own(at_home):
            return at_home
        if top in self._regular or (top in self._sources and "." in name) or self._is_alias(top):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

    # Imports

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002  # called as `__import__` is
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """The `__import__` of our modules."""
        found = self._relative(name, globals, level) if level else self._meant(name)
        if found is None:
            if name.partition(".")[0] == "importlib" and not level:
                return self._importlib(name, fromlist)
            return __import__(name, globals, locals, fromlist or (), level)
        module = self._loaded(self._inside(found))
        if not fromlist:
            top = self._meant(name.partition(".")[0]) or found
            return self._loaded(self._inside(top))
        for item in fromlist:
            if not hasattr(module, item) and self._is_known(f"{found}.{item}"):
                self._loaded(self._inside(f"{found}.{item}"))
        return module

    def _relative(self, name: str, globals: Mapping[str, Any] | None, level: int) -> str:  # noqa: A002
        """The module of ours that a relative import means.

        Raises:
            ImportError: It leads out of the package, or there is no package.
        """
        package = str((globals or {}).get("__package__") or "")
        if not package:
            raise ImportError("attempted relative import with no known parent package")
        found = self._plain(importlib.util.resolve_name("." * level + name, package)) or ""
        if not self._is_known(found):
            raise ModuleNotFoundError(f"No module named {found!r}", name=found)
        return found

    def _importlib(self, name: str, fromlist: Sequence[str] | None) -> ModuleType:
        """`importlib` as our modules see it: its `import_module` finds them."""
        real = __import__(name, None, None, fromlist or (), 0)
        if name != "importlib" and fromlist:
            return real
        seen = ModuleType("importlib", importlib.__doc__)
        vars(seen).update(vars(importlib), import_module=self._import_module)
        return seen

    def _import_module(self, name: str, package: str | None = None) -> ModuleType:
        """`importlib.import_module`, for a module of ours or of anybody else's."""
        if name.startswith("."):
            name = importlib.util.resolve_name(name, package)
            name = self._plain(name) or name
        found = self._meant(name)
        return importlib.import_module(name) if found is None else self.load(found)

    def _loaded(self, fullname: str) -> ModuleType:
        """A module, loaded now if it was not before."""
        if module := self.modules.get(fullname):
            return module
        with self._running():
            sys.meta_path.insert(0, self)
            try:
                return importlib.import_module(fullname)
            finally:
                sys.meta_path.remove(self)

    # `sys.modules`

    def _at_home(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any) -> Any:
            self._enter()
            try:
                return function(*args)
            finally:
                self._leave()

        return call

    @contextmanager
    def _running(self) -> Generator[None]:
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        """Let `sys.modules` know our modules; nobody else's have their names."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                sys.modules.update(self.modules)

    def _leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                left = {name: sys.modules.pop(name, None) for name in self._found}
                self.modules.update({n: module for n, module in left.items() if module})


_INIT = "__init__.py"


def module_name(path: str) -> str:
    """`pack/words.py` -> `pack.words`, `pack/__init__.py` -> `pack`."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def without_own_names(text: str) -> str:
    """A message with the plain names of modules: `pack.words` for `pack@1f2e3d4c-7.words`."""
    return _OWN.sub("", text)


def _above(name: str) -> list[str]:
    """The packages that a module is in: `a.b.c` -> `a`, `a.b`."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _digest(files: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for path, text in sorted(files.items()):
        digest.update(f"{len(path)}:{path}{len(text)}:{text}".encode())
    return digest.hexdigest()
