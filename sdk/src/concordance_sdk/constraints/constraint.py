"""What a constraint is: a value that says which texts are allowed, and what an answer means."""

from typing import Any, Protocol

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
