"""Checks a constraint where it is defined, without any tokenizer."""

from concordance_shared import ConstraintError

from concordance_sdk.constraints.byte_grammar import fault_of, matcher_of
from concordance_sdk.constraints.constraint import Constraint
from concordance_sdk.constraints.grammar_builder import GrammarBuilder


def grammar_text(constraint: Constraint) -> str:
    """The grammar of a constraint, in llguidance's own format.

    Raises:
        ConstraintError: There is none; the message names the constraint.
    """
    grammar = GrammarBuilder()
    try:
        return grammar.text(constraint.write(grammar))
    except ConstraintError as exc:
        raise unenforceable(constraint, exc.message) from exc


def check(constraint: Constraint, *, unless: str | None = None) -> None:
    """Refuse a constraint that cannot be enforced.

    Args:
        constraint: The constraint.
        unless: An error that has this in it is none yet.

    Raises:
        ConstraintError: It cannot be; the message names it and says why.
    """
    fault = fault_of(grammar_text(constraint))
    if fault and not (unless and unless in fault):
        raise unenforceable(constraint, fault)


def allows(constraint: Constraint, text: str) -> bool:
    """Whether a whole text satisfies a constraint; for tests, and for what was written elsewhere.

    Raises:
        ConstraintError: The constraint cannot be enforced.

    Examples:
        >>> from concordance_sdk.constraints import CharsMode, CharsStrat
        >>> allows(CharsStrat(CharsMode.NUMERIC, stop=3), "12")
        True
    """
    check(constraint)
    matcher = matcher_of(grammar_text(constraint))
    data = text.encode()
    return matcher.try_consume_tokens(list(data)) == len(data) and matcher.is_accepting()


def unenforceable(constraint: object, why: str) -> ConstraintError:
    """The error for a constraint that cannot be enforced."""
    return ConstraintError(f"{constraint!r:.100} cannot be enforced: {why}")
