"""The keywords that combine schemas."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from concordance_sdk.constraints.schema.keywords.reader import Assertion, Keywords, conjunction_of
from concordance_sdk.constraints.schema.shapes import Cases, union

if TYPE_CHECKING:
    from concordance_sdk.constraints.schema.meaning import Meaning


def all_of_assertion(word: str) -> Callable[[Keywords], Assertion]:
    """Build the assertion of `allOf` or `extends`."""

    def assertion(words: Keywords) -> Assertion:
        is_one = isinstance(words.schema[word], dict)  # `extends` of draft 3 can be one schema
        numbers = [words.inner(word)] if is_one else words.each(word)
        literal = words.meaning.literal
        return lambda is_positive: (
            words.meaning.intersect_all(literal(number, True) for number in numbers)  # noqa: FBT003
            if is_positive
            else union(*(literal(number, False) for number in numbers))  # noqa: FBT003
        )

    return assertion


def any_of_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `anyOf`."""
    numbers = words.each("anyOf")
    literal = words.meaning.literal
    return lambda is_positive: (
        union(*(literal(number, True) for number in numbers))  # noqa: FBT003
        if is_positive
        else words.meaning.intersect_all(literal(number, False) for number in numbers)  # noqa: FBT003
    )


def one_of_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `oneOf`."""
    numbers = words.each("oneOf")
    meaning = words.meaning

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        if not is_positive:
            none = meaning.intersect_all(meaning.literal(number, False) for number in numbers)  # noqa: FBT003
            return Cases(none.shapes, is_exact=False)
        return union(*(_alone(meaning, numbers, i) for i in range(len(numbers))))

    return assertion


def _alone(meaning: "Meaning", numbers: list[int], index: int) -> Cases:
    """Return the values that match one of several schemas and violate the others."""
    number = numbers[index]
    found = meaning.literal(number, True)  # noqa: FBT003
    for i, other in enumerate(numbers):
        if i == index:
            continue
        if not meaning.is_empty(conjunction_of((number, True), (other, True))):
            found = meaning.intersect(found, meaning.literal(other, False))  # noqa: FBT003
    return found


def not_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `not`."""
    inner = words.inner("not")
    return lambda is_positive: words.meaning.literal(inner, not is_positive)


def disallow_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `disallow`."""
    made = words.document.derived({"type": words.schema["disallow"]}, words.number, "disallow")
    return lambda is_positive: words.meaning.literal(made, not is_positive)


def if_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `if`, `then` and `else`."""
    test = words.inner("if")
    then = words.inner("then") if "then" in words else 0
    otherwise = words.inner("else") if "else" in words else 0
    meaning = words.meaning

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        otherwise_case = meaning.literal(otherwise, is_positive)
        return union(
            meaning.intersect(meaning.literal(test, False), otherwise_case),  # noqa: FBT003
            meaning.intersect(meaning.literal(test, True), meaning.literal(then, is_positive)),  # noqa: FBT003
        )

    return assertion
