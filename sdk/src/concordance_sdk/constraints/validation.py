"""Validation of constraints without a tokenizer."""

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
    "'uniqueItems' is enforced where a JsonSchema is the whole constraint, not inside another "
    "one; leave it out, or use the JsonSchema alone"
)

#: Maximum length of a constraint's `repr` in error messages, in characters.
_LONGEST_NAME = 100


def grammar_text(constraint: Constraint) -> str:
    """Return the grammar of a constraint in llguidance's own format.

    Raises:
        ConstraintError: It has none; the message names the constraint.
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
    """Return where `uniqueItems` applies in a document, which its grammar does not express."""
    places = getattr(constraint, "unique_places", None)
    return cast(Places, places()) if callable(places) else NOWHERE


def check(
    constraint: Constraint,
    *,
    unless: str | None = None,
    explain: Callable[[str], str] = lambda fault: fault,
) -> None:
    """Reject a constraint that cannot be enforced.

    Args:
        constraint: The constraint.
        unless: Ignore an error that contains this text.
        explain: Rephrases an error of llguidance in the author's terms.

    Raises:
        ConstraintError: It cannot be enforced; the message names it and the reason.
    """
    fault = fault_of(grammar_text(constraint))
    if fault and not (unless and unless in fault):
        raise unenforceable(constraint, explain(fault))


def allows(constraint: Constraint, text: str) -> bool:
    """Return True if a constraint allows a complete text; for tests and for external texts.

    Raises:
        ConstraintError: It is not a constraint, or cannot be enforced.

    Examples:
        >>> from concordance_sdk.constraints import CharsMode, CharsStrat
        >>> allows(CharsStrat(CharsMode.NUMERIC, stop=3), "12")
        True
    """
    require_constraint(constraint, "the first argument of `allows`")
    check(constraint)
    if not is_text_of(grammar_text(constraint), text):
        return False
    places = unique_places(constraint)
    return not places or differ_in(text, places)


def unenforceable(
    constraint: object, why: str, kind: type[ConstraintError] = ConstraintError
) -> ConstraintError:
    """Build the error for a constraint that cannot be enforced."""
    return kind(f"{named(constraint)} cannot be enforced: {why}")


def named(constraint: object) -> str:
    """Return a short `repr` of a constraint, without fields that have their default value."""
    named = repr(constraint)
    if isinstance(constraint, Struct):
        given = [
            f"{field.name}={value!r}"
            for field in fields(constraint)
            if (value := getattr(constraint, field.name)) != field.default
        ]
        named = f"{type(constraint).__name__}({', '.join(given)})"
    return named if len(named) <= _LONGEST_NAME else f"{named[: _LONGEST_NAME - 3]}..."
