"""Names of the modules in one source of mods, and what an import in them refers to.

A module has two names. Its plain name is the one that its source uses: `pack.words`. Its full name
is the one in `__name__` and `sys.modules`: `pack@1f2e3d4c-7.words`. The suffix is unique for each
`ModuleSpace`, so that two uploads can both have a module `words`.
"""

import hashlib
import itertools
import re
import sys
from collections.abc import Mapping
from pathlib import PurePosixPath

from concordance_inference.mods.compat.quote_mod_sdk import aliases
from concordance_inference.mods.compat.quote_mod_sdk.names import ALIASES

#: Distinguishes spaces with the same content.
_numbers = itertools.count(1)

_SUFFIX = re.compile(r"@[0-9a-f]{8}-\d+")

_INIT = "__init__.py"


class ModuleNames:
    """The modules of some Python files, by their plain names."""

    def __init__(self, files: Mapping[str, str], *, home: str = "") -> None:
        """Name the modules of files.

        Args:
            files: Relative path with forward slashes -> text.
            home: A package whose modules can also be imported without its name.
        """
        self.home = home
        self.sources = {module_name(path): (path, text) for path, text in files.items()}
        self._regular = {n for n, (path, _) in self.sources.items() if path.endswith(_INIT)}
        self._packages = self._regular | {p for name in self.sources for p in _parents(name)}
        self.uses_older_sdk = aliases.uses_older_names(files, self.is_own)
        self.version = digest(files)[:12]
        self._suffix = f"@{self.version[:8]}-{next(_numbers)}"

    @property
    def entry_names(self) -> tuple[str, ...]:
        """The modules outside of regular packages, whose `__init__` imports what it needs."""
        inside = {n for n in self.sources if any(p in self._regular for p in _parents(n))}
        return tuple(sorted(self.sources.keys() - inside))

    def full(self, name: str) -> str:
        """Return the full name: `pack.words` -> `pack@1f2e3d4c-7.words`."""
        top, dot, rest = name.partition(".")
        return f"{top}{self._suffix}{dot}{rest}"

    def plain(self, fullname: str) -> str | None:
        """Return the plain name: `pack@1f2e3d4c-7.words` -> `pack.words`; `None` if not ours."""
        top, dot, rest = fullname.partition(".")
        is_ours = top.endswith(self._suffix)
        return f"{top.removesuffix(self._suffix)}{dot}{rest}" if is_ours else None

    def is_own(self, name: str) -> bool:
        """True for a module or package of the source itself."""
        return name in self.sources or name in self._packages

    def is_package(self, name: str) -> bool:
        """True for a package of the source, or of `quote_mod_sdk`."""
        return name in self._packages or (self._is_alias(name) and aliases.is_package(name))

    def is_known(self, name: str) -> bool:
        """True for a module of the source, or of `quote_mod_sdk` if the source uses it."""
        return self.is_own(name) or self._is_alias(name)

    def _is_alias(self, name: str) -> bool:
        return self.uses_older_sdk and name in ALIASES and not self.is_own(name)

    def resolve(self, name: str) -> str | None:
        """Return the module that an absolute import refers to; `None` for one of another source.

        Raises:
            ModuleNotFoundError: It would be in a package of the source, which does not have it.
        """
        top = name.partition(".")[0]
        # As in Python: a folder without `__init__.py` does not hide an installed module.
        is_folder = top in self._packages and top not in self._regular
        if is_folder and top in sys.stdlib_module_names:
            return None
        if self.is_known(name):
            return name
        at_home = f"{self.home}.{name}"
        if self.home and top not in sys.stdlib_module_names and self.is_own(at_home):
            return at_home
        if top in self._regular or (top in self.sources and "." in name) or self._is_alias(top):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def module_name(path: str) -> str:
    """Return a file's plain name: `pack/a.py` -> `pack.a`, `pack/__init__.py` -> `pack`."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def with_plain_names(text: str) -> str:
    """Replace full module names in a message: `pack@1f2e3d4c-7.words` -> `pack.words`."""
    return _SUFFIX.sub("", text)


def _parents(name: str) -> list[str]:
    """Return the packages that contain a module: `a.b.c` -> `a`, `a.b`."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def digest(files: Mapping[str, str]) -> str:
    """Return a hash of files."""
    hashed = hashlib.sha256()
    for path, text in sorted(files.items()):
        hashed.update(f"{len(path)}:{path}{len(text)}:{text}".encode())
    return hashed.hexdigest()
