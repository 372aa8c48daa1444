"""Earlier versions of uploaded mods, which requests can select by their content hash."""

import re
from typing import Generic, Protocol, TypeVar

#: Versions kept of each mod, the current one included.
MAX_VERSIONS = 8

#: How a name selects a version: `name@sha256:<at least 8 hexadecimal digits>`.
_SELECTED = re.compile(r"(?P<name>[^@]*)@sha256:(?P<digits>[0-9a-f]{8,64})")


class Versioned(Protocol):
    """What is kept in versions."""

    @property
    def version(self) -> str:
        """The first hexadecimal digits of the content hash."""
        ...


Entry = TypeVar("Entry", bound=Versioned)


def split_version(name: str) -> tuple[str, str | None]:
    """Split a mod's name into the name and the digits of the version that it selects.

    Examples:
        >>> split_version("greet@sha256:0123abcd"), split_version("greet")
        (('greet', '0123abcd'), ('greet', None))
    """
    found = _SELECTED.fullmatch(name)
    return (found["name"], found["digits"]) if found else (name, None)


def is_version(version: str, digits: str) -> bool:
    """True if digits select a version: one is the beginning of the other."""
    return bool(version) and (version.startswith(digits) or digits.startswith(version))


class ModVersions(Generic[Entry]):
    """The versions of mods by name, the latest last. Not thread-safe."""

    def __init__(self) -> None:
        """Start without mods."""
        self._entries: dict[str, list[Entry]] = {}

    def add(self, name: str, entry: Entry) -> None:
        """Add a version; the oldest one is dropped if there are too many."""
        others = [each for each in self.of(name) if each.version != entry.version]
        self._entries[name] = [*others, entry][-MAX_VERSIONS:]

    def of(self, name: str) -> list[Entry]:
        """The versions of a mod, the latest last."""
        return list(self._entries.get(name, ()))

    def selected(self, name: str, digits: str) -> Entry | None:
        """The version that digits select."""
        found = [entry for entry in self.of(name) if is_version(entry.version, digits)]
        return found[-1] if found else None

    def remove(self, name: str) -> None:
        """Remove all versions of a mod."""
        self._entries.pop(name, None)
