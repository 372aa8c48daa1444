"""What a constraint is: a value that says which texts are allowed, and what an answer means."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

from concordance_shared import ConstraintError

from concordance_sdk.constraints.grammar_builder import GrammarBuilder, Part


class Constraint(Protocol):
    """Says which texts an answer may be.

    A plain value that knows no tokenizer; `compile_constraint` makes it ready for one. Whoever
    writes one of their own gives these three methods.

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
        """Write the grammar of the allowed texts; return the part that stands for them.

        Raises:
            ConstraintError: There is no such grammar.
        """
        ...

    def answer(self, text: str) -> str:
        """The answer in an allowed text: without what was only written to end it."""
        ...

    def value(self, text: str) -> Any:
        """What an allowed text means, as a Python value."""
        ...


def is_constraint(value: object) -> bool:
    """Whether a value can say which texts are allowed."""
    return callable(getattr(value, "write", None)) and not isinstance(value, type)


def require_constraint(value: object, what: str) -> None:
    """Refuse what is no constraint, where it is given.

    Args:
        value: What was given.
        what: What it is given as, for the message.

    Raises:
        ConstraintError: It is none; the message says what would be.
    """
    if not is_constraint(value):
        raise ConstraintError(f"{what} is a constraint, not {value!r:.60}{_instead(value)}")


def _instead(value: object) -> str:
    """What may have been meant by what is no constraint."""
    if isinstance(value, type):
        return f"; make one of it: {value.__name__}(...)"
    texts: list[object] = (
        list(cast(Sequence[object], value)) if isinstance(value, list) else [value]
    )
    if texts and all(isinstance(text, str) for text in texts):
        return f"; for texts to choose from: ChoicesStrat({texts!r:.60})"
    return ""
