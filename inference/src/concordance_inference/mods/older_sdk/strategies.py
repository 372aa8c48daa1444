"""Strategies as older mods make them: their fields can be set later, and some arguments mean less.

What is set is checked when it is used. (msgspec lets a struct that can be changed extend one that
cannot; dataclasses do not, and pyright goes by them.)
"""

from concordance_sdk import constraints
from concordance_sdk.constraints.grammar_builder import GrammarBuilder, Regular
from msgspec.structs import force_setattr


class ChoicesStrat(constraints.ChoicesStrat, frozen=False):  # type: ignore[misc]
    """One of several texts, in a list that may be changed, and filled later."""

    def __post_init__(self) -> None:
        """Check the choices, if there are any yet."""
        if self.choices:
            super().__post_init__()
        force_setattr(self, "choices", list(self.choices))

    def write(self, grammar: GrammarBuilder) -> Regular:
        """The choices that there are now."""
        return constraints.ChoicesStrat(self.choices).write(grammar)


class CharsStrat(constraints.CharsStrat, frozen=False):  # type: ignore[misc]
    """Characters of one kind."""


class UntilStrat(constraints.UntilStrat, frozen=False):  # type: ignore[misc]
    """Any text, up to where it ends."""


class ListStrat(constraints.ListStrat, frozen=False):  # type: ignore[misc]
    """A list; an empty `sep` and counts of 0 are as if left out, and so are a tuple's counts."""

    def __post_init__(self) -> None:
        """Leave out what means nothing, and check the rest."""
        force_setattr(self, "sep", self.sep or None)
        for name in ("min", "max"):
            count = None if self.is_tuple else getattr(self, name) or None
            force_setattr(self, name, count)
        super().__post_init__()
