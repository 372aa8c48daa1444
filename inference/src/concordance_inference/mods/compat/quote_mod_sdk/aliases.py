"""The names of the older SDK, module by module, and what each stands for.

A name is looked up when it is used: a source that asks for few pays for few, and one whose target
is missing says so where it is imported.
"""

import ast
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from concordance_sdk import ModDefinition

from concordance_inference.mods.compat.quote_mod_sdk.names import ALIASES, REFUSED

_HERE = "concordance_inference.mods.compat.quote_mod_sdk"

#: Sources that import one of these speak of the older SDK.
_TELLING = ("quote_mod_sdk", "sdk.quote_mod_sdk", "shared")


class OlderModule(ModuleType):
    """A module of the older SDK, as one source of mods sees it."""

    def __init__(self, fullname: str, name: str, load: Callable[[str], ModuleType]) -> None:
        """Make one.

        Args:
            fullname: Its name in `sys.modules`.
            name: Its name in the older SDK.
            load: Loads another of its modules for the same source.
        """
        super().__init__(fullname, f"The names of the older SDK's `{name}`.")
        starred = [each for each in ALIASES[name] if not each.startswith("_")]
        vars(self).update(_older_name=name, _load=load, __all__=sorted(starred))

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute; a module that is loaded does not hide a name of its package."""
        if not (isinstance(value, ModuleType) and name in ALIASES[self._older_name]):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        """What a name stands for, or a module below this one."""
        older_name: str = vars(self)["_older_name"]
        if name in ALIASES[older_name]:
            return _meant_by(older_name, name)
        if f"{older_name}.{name}" in ALIASES:
            return vars(self)["_load"](f"{older_name}.{name}")
        if (reason := REFUSED.get(older_name, {}).get(name)) is not None:
            raise ImportError(f"{older_name}.{name} is not there: {reason}")
        raise AttributeError(
            f"{older_name!r} of the older SDK has no {name!r} here; it has: "
            f"{', '.join(sorted(ALIASES[older_name])) or 'nothing of its own'}"
        )


def uses_older_names(texts: Mapping[str, str], is_own: Callable[[str], bool]) -> bool:
    """Whether any of these sources imports a module of the older SDK.

    Args:
        texts: By path: a source.
        is_own: Says which modules the sources have themselves.
    """
    return any(
        (told := _told_by(name)) is not None and not is_own(told)
        for text in texts.values()
        if any(word in text for word in _TELLING)
        for name in imported_names(text)
    )


def imported_names(text: str) -> Iterator[str]:
    """The modules that a source imports by name, wherever it does; none if it cannot be read."""
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
    """What `__import__("...")` and `import_module("...")` import."""
    function = ast.unparse(node.func).rpartition(".")[2]
    if isinstance(argument, str) and function in ("__import__", "import_module"):
        yield argument


def _told_by(name: str) -> str | None:
    """What of the older SDK an import speaks of; other packages `shared` have other modules."""
    parts = name.split(".")
    if parts[0] == "shared" and parts[1:2] and parts[1] in ("types", "utils", "conversation"):
        return ".".join(parts[:2])
    is_sdk = parts[0] == "quote_mod_sdk" or parts[:2] == ["sdk", "quote_mod_sdk"]
    return parts[0] if is_sdk else None


def is_package(name: str) -> bool:
    """Whether a module of the older SDK has others below it."""
    return any(other.startswith(f"{name}.") for other in ALIASES)


def _meant_by(module_name: str, name: str) -> object:
    place = ALIASES[module_name][name]
    try:
        return _found(place)
    except (ImportError, AttributeError) as exc:
        raise ImportError(
            f"{module_name}.{name} stands for {place.replace(':', '.')}, which this "
            f"version of Concordance does not have ({exc})"
        ) from exc


def older_definition_of(target: Any) -> ModDefinition:
    """The definition of a mod of the older SDK, which raw callables are too.

    Raises:
        ModDefinitionError: It is not a mod.
    """
    # By its name, as everything here: it needs numpy, and who only serves mods does not.
    return _found(f"{_HERE}.decorator:older_definition_of")(target)


def outermost(definition: ModDefinition, offered: Iterable[object]) -> ModDefinition:
    """The definition of a mod with what decorates it, of what its modules offer."""
    return _found(f"{_HERE}.decorator:outermost")(definition, offered)


def _found(place: str) -> Any:
    """What stands at `module:name`."""
    module_name, _, name = place.partition(":")
    return getattr(importlib.import_module(module_name), name)
