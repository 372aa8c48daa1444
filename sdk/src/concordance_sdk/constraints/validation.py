"""Checks a constraint where it is defined, without any tokenizer."""

from collections.abc import Callable
from typing import cast

from concordance_shared import ConstraintError
from msgspec import Struct
from msgspec.structs import fields

from concordance_sdk.constraints.byte_grammar import fault_of, is_text_of
from concordance_sdk.constraints.constraint import Constraint, require_constraint
from concordance_sdk.constraints.grammar_builder import GrammarBuilder
from concordance_sdk.constraints.schema.places import NOWHERE, Places
from concordance_sdk.constraints.schema.unique import differ_in

_NOT_ALONE = (
    "'uniqueItems' is enforced where a JsonSchema is the whole answer, not inside of another "
    "constraint; leave it out, or write the document alone"
)

#: How many characters of a constraint an error shows.
_LONGEST_NAME = 100


def grammar_text(constraint: Constraint) -> str:
    """The grammar of a constraint, in llguidance's own format.

    Raises:
        ConstraintError: There is none; the message names the constraint.
    """
    grammar = GrammarBuilder()
    try:
        text = grammar.text(constraint.write(grammar))
    except ConstraintError as exc:
        raise unenforceable(constraint, exc.message, type(exc)) from exc
    if grammar.has_unique and not hasattr(constraint, "unique_places"):
        raise unenforceable(constraint, _NOT_ALONE)
    return text


def unique_places(constraint: Constraint) -> Places:
    """Where arrays stand in a document whose items differ, which its grammar does not say."""
    places = getattr(constraint, "unique_places", None)
    return cast(Places, places()) if callable(places) else NOWHERE


def check(
    constraint: Constraint,
    *,
    unless: str | None = None,
    explain: Callable[[str], str] = lambda fault: fault,
) -> None:
    """Refuse a constraint that cannot be enforced.

    Args:
        constraint: The constraint.
        unless: An error that has this in it is none yet.
        explain: Says an error of llguidance's in the author's terms.

    Raises:
        ConstraintError: It cannot be; the message names it and says why.
    """
    fault = fault_of(grammar_text(constraint))
    if fault and not (unless and unless in fault):
        raise unenforceable(constraint, explain(fault))


def allows(constraint: Constraint, text: str) -> bool:
    """Whether a whole text satisfies a constraint; for tests, and for what was written elsewhere.

    Raises:
        ConstraintError: It is no constraint, or cannot be enforced.

    Examples:
        >>> from concordance_sdk.constraints import CharsMode, CharsStrat
        >>> allows(CharsStrat(CharsMode.NUMERIC, stop=3), "12")
        True
    """
    require_constraint(constraint, "what `allows` checks by")
    check(constraint)
    if not is_text_of(grammar_text(constraint), text):
        return False
    places = unique_places(constraint)
    return not places or differ_in(text, places)


def unenforceable(
    constraint: object, why: str, kind: type[ConstraintError] = ConstraintError
) -> ConstraintError:
    """The error for a constraint that cannot be enforced."""
    return kind(f"{named(constraint)} cannot be enforced: {why}")


def named(constraint: object) -> str:
    """A constraint as its author wrote it: without the fields that were left out, and not long."""
    named = repr(constraint)
    if isinstance(constraint, Struct):
        given = [
            f"{field.name}={value!r}"
            for field in fields(constraint)
            if (value := getattr(constraint, field.name)) != field.default
        ]
        named = f"{type(constraint).__name__}({', '.join(given)})"
    return named if len(named) <= _LONGEST_NAME else f"{named[: _LONGEST_NAME - 3]}..."
