"""Access to the keywords of one schema."""

from collections.abc import Callable
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

from concordance_shared import ConstraintError

from concordance_sdk.constraints.schema.patterns import compile_pattern
from concordance_sdk.constraints.schema.shapes import NOTHING, Cases, Conjunction
from concordance_sdk.constraints.schema.texts import require_usable

if TYPE_CHECKING:
    from concordance_sdk.constraints.schema.meaning import Meaning

#: The semantics of a keyword: called with True, returns the values that match it; with False, those
#: that violate it.
Assertion = Callable[[bool], Cases]

DRAFT_2019, DRAFT_2020 = 2019, 2020

#: Larger counts are treated as no limit: no document is that large.
_MAX_COUNT = 2**31 - 1


class Keywords:
    """Access to the keywords of one schema, with validation of their values."""

    def __init__(self, meaning: "Meaning", number: int, schema: dict[str, Any]) -> None:
        self.meaning = meaning
        self.document = meaning.document
        self.number = number
        self.schema = schema

    def __contains__(self, word: str) -> bool:
        return word in self.schema

    def fail(self, word: str, why: str) -> ConstraintError:
        """Build the error for a keyword."""
        return self.document.fail(self.number, f"{word!r} {why}", word)

    def inner(self, *steps: str | int) -> int:
        """Return the number of a nested schema."""
        return self.document.inner(self.number, *steps)

    def matching(self, *steps: str | int) -> Conjunction:
        """Return the conjunction of values that match a nested schema."""
        return conjunction_of((self.inner(*steps), True))

    def violating(self, *steps: str | int) -> Conjunction:
        """Return the conjunction of values that violate a nested schema."""
        return conjunction_of((self.inner(*steps), False))

    def each(self, word: str) -> list[int]:
        """Return the numbers of the schemas in a list."""
        listed = self.schema[word]
        if not isinstance(listed, list) or not listed:
            raise self.fail(word, f"is a list of schemas, not {listed!r:.40}")
        return [self.inner(word, i) for i in range(len(cast(list[Any], listed)))]

    def mapping(self, word: str) -> dict[str, Any]:
        """Return the value of a keyword that must be an object."""
        value = self.schema.get(word, {})
        if not isinstance(value, dict):
            raise self.fail(word, f"maps names to schemas, and is {value!r:.40}")
        return cast(dict[str, Any], value)

    def count(self, word: str) -> int | None:
        """Return the value of a keyword that must be a non-negative integer."""
        if word not in self.schema:
            return None
        value: Any = self.schema[word]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or value < 0 or value != int(value):
            raise self.fail(word, f"is a whole number of at least 0, not {value!r:.40}")
        if value <= _MAX_COUNT:
            return int(value)
        if word.startswith("max"):
            return None
        raise self.fail(word, f"is more than a document can have, {_MAX_COUNT} at most")

    def number_of(self, word: str) -> Decimal | None:
        """Return the value of a keyword that must be a number."""
        value: Any = self.schema.get(word)
        is_of_draft_4 = isinstance(value, bool) and word.startswith("exclusive")
        if is_of_draft_4 or word not in self.schema:
            return None
        if isinstance(value, bool) or not is_double(value):
            raise self.fail(word, f"is a number, not {value!r:.40}")
        return decimal_of(value)

    def pattern(self, source: str, *steps: str) -> str:
        """Check that a pattern can be compiled, and return it.

        Raises:
            ConstraintError: It cannot be compiled.
        """
        try:
            for is_wide in (False, True):
                require_usable(compile_pattern(source, wide=is_wide).expression)
        except ConstraintError as exc:
            why = f"it cannot match {steps[0]!r} {source!r:.80}: {exc.message}"
            raise self.document.fail(self.number, why, *steps) from exc
        return source


def is_double(value: Any) -> bool:
    """True for a number that a double can represent."""
    try:
        return isinstance(value, int | float) and isfinite(value)
    except OverflowError:  # a large integer
        return False


def decimal_of(value: float) -> Decimal:
    """Convert a number to the decimal with the digits of its JSON text."""
    return Decimal(value) if isinstance(value, int) else Decimal(repr(value))


def conjunction_of(*literals: tuple[int, bool]) -> Conjunction:
    """Build a conjunction; the schemas `true` and `false` are simplified."""
    found: set[tuple[int, bool]] = set()
    for number, is_positive in literals:
        if number > 1:
            found.add((number, is_positive))
        elif (number == 0) != is_positive:
            return NOTHING
    return frozenset(found)
