"""A constraint to one of several texts."""

from collections.abc import Iterable, Sequence
from typing import cast

from concordance_shared import ConstraintError
from msgspec.structs import force_setattr

from concordance_sdk.constraints.constructor import ConstraintStruct
from concordance_sdk.constraints.grammar_builder import GrammarBuilder, Regular, literal


class ChoicesStrat(ConstraintStruct, frozen=True):
    """Exactly one of several texts.

    If one choice is a prefix of another, both are reachable: the model ends the completion after
    the shorter one, or continues.

    Attributes:
        choices: The texts.

    Raises:
        ConstraintError: There is no choice, or one is empty or not a string.

    Examples:
        >>> from concordance_sdk.constraints import allows
        >>> answer = ChoicesStrat(["yes", "yes, please", "no"])
        >>> allows(answer, "yes"), allows(answer, "yes, please"), allows(answer, "yes,")
        (True, True, False)
    """

    choices: Sequence[str]

    def __post_init__(self) -> None:
        """Validate the choices and remove duplicates."""
        given = cast(object, self.choices)
        if isinstance(given, str) or not isinstance(given, Iterable):
            one = "the one text " if isinstance(given, str) else ""
            raise ConstraintError(f"ChoicesStrat takes a list of texts, not {one}{given!r:.60}")
        choices = tuple(self.choices)
        if not choices:
            raise ConstraintError("ChoicesStrat needs at least one choice")
        for choice in choices:
            if not isinstance(choice, str) or not choice:  # type: ignore[redundant-expr]
                raise ConstraintError(f"a choice of ChoicesStrat is a text, not {choice!r:.60}")
        force_setattr(self, "choices", tuple(dict.fromkeys(choices)))

    def write(self, grammar: GrammarBuilder) -> Regular:
        """Write the choices as one terminal."""
        return grammar.terminal(" | ".join(literal(choice).expression for choice in self.choices))

    def answer(self, text: str) -> str:
        """Return the choice."""
        return text

    def value(self, text: str) -> str:
        """Return the choice."""
        return text
