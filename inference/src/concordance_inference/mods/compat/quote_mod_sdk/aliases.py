"""Modules of `quote_mod_sdk` as importable objects.

A name is resolved when it is first used, so that a source only imports what it needs, and a name
without an implementation is an error where it is imported.
"""

import ast
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from concordance_sdk.host import ModDefinition

from concordance_inference.mods.compat.quote_mod_sdk.names import ALIASES, REFUSED

_HERE = "concordance_inference.mods.compat.quote_mod_sdk"

#: Texts of which a source that imports `quote_mod_sdk` contains at least one.
_MARKERS = ("quote_mod_sdk", "shared")


class OlderModule(ModuleType):
    """A module of `quote_mod_sdk` in one `ModuleSpace`."""

    def __init__(self, fullname: str, name: str, load: Callable[[str], ModuleType]) -> None:
        """Create a module.

        Args:
            fullname: Its name in `sys.modules`.
            name: Its name in `quote_mod_sdk`.
            load: Loads another module of the same space.
        """
        super().__init__(fullname, f"The names of `{name}`.")
        starred = [each for each in ALIASES[name] if not each.startswith("_")]
        vars(self).update(_older_name=name, _load=load, __all__=sorted(starred))

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute, unless it is a submodule with the name of an alias.

        After importing a submodule, importlib sets it on its package, where it would hide the
        alias.
        """
        if not (isinstance(value, ModuleType) and name in ALIASES[self._older_name]):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        """Resolve an alias, or load a submodule."""
        older_name: str = vars(self)["_older_name"]
        if name in ALIASES[older_name]:
            return _resolved(older_name, name)
        if f"{older_name}.{name}" in ALIASES:
            return vars(self)["_load"](f"{older_name}.{name}")
        if (reason := REFUSED.get(older_name, {}).get(name)) is not None:
            raise ImportError(f"{older_name}.{name} is not supported: {reason}")
        raise AttributeError(
            f"{older_name!r} has no {name!r} in this version; it has: "
            f"{', '.join(sorted(ALIASES[older_name])) or 'only submodules'}"
        )


def uses_older_names(texts: Mapping[str, str], is_own: Callable[[str], bool]) -> bool:
    """True if a source imports a module of `quote_mod_sdk`.

    Args:
        texts: Path -> source.
        is_own: True for modules that are among the sources themselves.
    """
    return any(
        (older := _older_module_in(name)) is not None and not is_own(older)
        for text in texts.values()
        if any(word in text for word in _MARKERS)  # parsing is slow
        for name in imported_names(text)
    )


def imported_names(text: str) -> Iterator[str]:
    """Yield the absolute names in all imports of a source; none if it cannot be parsed."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            yield from _named_by_call(node, node.args[0].value)


def _named_by_call(node: ast.Call, argument: object) -> Iterator[str]:
    """Yield the argument of `__import__("...")` and `import_module("...")`."""
    function = ast.unparse(node.func).rpartition(".")[2]
    if isinstance(argument, str) and function in ("__import__", "import_module"):
        yield argument


def _older_module_in(name: str) -> str | None:
    """Return the module of `quote_mod_sdk` that an import refers to, if any.

    Other packages are called `shared` too, so only its three known modules count.
    """
    parts = name.split(".")
    if parts[0] == "shared" and parts[1:2] and parts[1] in ("types", "utils", "conversation"):
        return ".".join(parts[:2])
    is_sdk = parts[0] == "quote_mod_sdk" or parts[:2] == ["sdk", "quote_mod_sdk"]
    return parts[0] if is_sdk else None


def is_package(name: str) -> bool:
    """True if a module of `quote_mod_sdk` has submodules."""
    return any(other.startswith(f"{name}.") for other in ALIASES)


def _resolved(module_name: str, name: str) -> object:
    place = ALIASES[module_name][name]
    try:
        return _found(place)
    except (ImportError, AttributeError) as exc:
        raise ImportError(
            f"{module_name}.{name} is an alias of {place.replace(':', '.')}, which this version "
            f"of Concordance does not have ({exc})"
        ) from exc


def older_definition_of(target: Any) -> ModDefinition:
    """Return the definition of a mod of `quote_mod_sdk`, or of a callable without `@mod`.

    Raises:
        ModDefinitionError: `target` is not a mod.
    """
    # Imported by name, like everything here: `decorator` needs numpy, which is slow to import.
    return _found(f"{_HERE}.decorator:older_definition_of")(target)


def outermost(definition: ModDefinition, offered: Iterable[object]) -> ModDefinition:
    """Return the definition of a mod, including decorators above `@mod`; see `decorator`."""
    return _found(f"{_HERE}.decorator:outermost")(definition, offered)


def _found(place: str) -> Any:
    """Import `module:name`."""
    module_name, _, name = place.partition(":")
    return getattr(importlib.import_module(module_name), name)
