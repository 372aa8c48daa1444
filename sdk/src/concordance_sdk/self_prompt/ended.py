"""A constraint, and the text that is written behind it."""

from typing import Any

from msgspec import Struct

from concordance_sdk.constraints import Constraint, ListStrat
from concordance_sdk.constraints.grammar_builder import GrammarBuilder, Part, literal


class Ended(Struct, frozen=True):
    """An answer with a completion behind it, by which the model ends one that could go on."""

    strategy: Constraint
    completion: str

    def write(self, grammar: GrammarBuilder) -> Part:
        """The answer and the completion."""
        part = grammar.sequence([self.strategy.write(grammar), literal(self.completion)])
        assert part is not None
        return part

    def answer(self, text: str) -> str:
        """The answer, without the completion."""
        return self.strategy.answer(text.removesuffix(self.completion))

    def value(self, text: str) -> Any:
        """What the answer means."""
        return self.strategy.value(text.removesuffix(self.completion))


def ended(strategy: Constraint, completion: str) -> Constraint:
    """A constraint with a completion behind it, if there is one to write.

    A list that has its own `end_with` is ended already.
    """
    if not completion or (isinstance(strategy, ListStrat) and strategy.end_with):
        return strategy
    return Ended(strategy, completion)
