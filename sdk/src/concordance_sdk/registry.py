"""The registry that `@mod` adds to, and how a loader collects the mods that a file defines."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from concordance_sdk.definition import ModDefinition


class ModRegistry:
    """Mods by name. A later definition of a name replaces an earlier one.

    Attributes:
        replaced: Name -> the definition of another target that the current one replaced last.

    Examples:
        >>> from concordance_sdk.builtin import StopAt
        >>> from concordance_sdk.host import definition_of
        >>> mods = ModRegistry()
        >>> mods.add(definition_of(StopAt))
        >>> [definition.name for definition in mods], mods.get("other") is None
        (['stop_at'], True)
    """

    def __init__(self) -> None:
        """Make an empty registry."""
        self._definitions: dict[str, ModDefinition] = {}
        self.replaced: dict[str, ModDefinition] = {}

    def add(self, definition: ModDefinition) -> None:
        """Register a definition under its name."""
        before = self._definitions.get(definition.name)
        if before is not None and before.target is not definition.target:
            self.replaced[definition.name] = before
        self._definitions[definition.name] = definition

    def get(self, name: str) -> ModDefinition | None:
        """The definition of that name, or `None`."""
        return self._definitions.get(name)

    def __iter__(self) -> Iterator[ModDefinition]:
        return iter(list(self._definitions.values()))

    def __len__(self) -> int:
        return len(self._definitions)


registry = ModRegistry()
"""The registry that `@mod` adds to, except inside `collecting()`."""

_collecting: ContextVar[ModRegistry | None] = ContextVar("concordance_registry", default=None)


def current_registry() -> ModRegistry:
    """The registry that `@mod` adds to in this context."""
    collected = _collecting.get()
    return registry if collected is None else collected


@contextmanager
def collecting() -> Generator[ModRegistry]:
    """Collect the definitions made inside, in place of registering them.

    Examples:
        >>> from concordance_sdk import mod
        >>> with collecting() as collected:
        ...     @mod
        ...     def wave(event, actions): ...
        >>> [definition.name for definition in collected], registry.get("wave") is None
        (['wave'], True)
    """
    collected = ModRegistry()
    token = _collecting.set(collected)
    try:
        yield collected
    finally:
        _collecting.reset(token)
