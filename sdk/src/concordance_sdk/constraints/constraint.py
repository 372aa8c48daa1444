"""The interface of a constraint: a grammar of allowed texts, and the value of a text."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

from concordance_shared import ConstraintError

from concordance_sdk.constraints.grammar_builder import GrammarBuilder, Part


class Constraint(Protocol):
    """Defines the texts that are allowed.

    A plain value, independent of any tokenizer; `compile_constraint` compiles it for one. A class
    of your own needs these three methods.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat, allows
        >>> from concordance_sdk.constraints.grammar_builder import literal
        >>> class Twice:
        ...     def __init__(self, constraint): self.constraint = constraint
        ...     def write(self, grammar):
        ...         part = self.constraint.write(grammar)
        ...         return grammar.sequence([part, literal("/"), part])
        ...     def answer(self, text): return text
        ...     def value(self, text): return text.split("/")
        >>> allows(Twice(ChoicesStrat(["a", "b"])), "a/b")
        True
    """

    def write(self, grammar: GrammarBuilder) -> Part:
        """Write the grammar of the allowed texts and return the part that matches them.

        Raises:
            ConstraintError: No such grammar exists.
        """
        ...

    def answer(self, text: str) -> str:
        """Return an allowed text without its terminator."""
        ...

    def value(self, text: str) -> Any:
        """Convert an allowed text to a Python value."""
        ...


def is_constraint(value: object) -> bool:
    """True if a value has the interface of a constraint."""
    return callable(getattr(value, "write", None)) and not isinstance(value, type)


def is_count(value: object) -> bool:
    """True for an integer of at least 0 that is not a bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def require_constraint(value: object, what: str) -> None:
    """Reject a value that is not a constraint.

    Args:
        value: The value.
        what: Its role, for the message.

    Raises:
        ConstraintError: It is not a constraint; the message suggests one.
    """
    if not is_constraint(value):
        raise ConstraintError(f"{what} must be a constraint, not {value!r:.60}{_instead(value)}")


def _instead(value: object) -> str:
    """Suggest the constraint that was probably meant."""
    if isinstance(value, type):
        return f"; make one of it: {value.__name__}(...)"
    texts: list[object] = (
        list(cast(Sequence[object], value)) if isinstance(value, list) else [value]
    )
    if texts and all(isinstance(text, str) for text in texts):
        return f"; for texts to choose from: ChoicesStrat({texts!r:.60})"
    return ""
