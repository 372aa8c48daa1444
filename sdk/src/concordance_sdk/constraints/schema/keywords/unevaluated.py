"""The keywords of unevaluated members and items."""

from typing import TYPE_CHECKING

from concordance_sdk.constraints.schema.keywords.arrays import item_schemas
from concordance_sdk.constraints.schema.keywords.reader import Assertion, Keywords, conjunction_of
from concordance_sdk.constraints.schema.shapes import (
    ALL,
    ANYTHING,
    OMITTED,
    Array,
    Cases,
    Conjunction,
    Keys,
    Object,
    restrict,
    union,
)

if TYPE_CHECKING:
    from concordance_sdk.constraints.schema.meaning import Meaning

#: Maximum number of classes of keys, by the patterns that match them.
_MAX_CLASSES = 64

#: Maximum number of alternatives to consider for what is evaluated.
_MAX_WAYS = 64


def unevaluated_properties_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `unevaluatedProperties`."""
    value = words.matching("unevaluatedProperties")

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        if not is_positive:
            return OMITTED
        if not value:
            return ALL
        ways = _ways(words.meaning, words.number, frozenset())
        every = [_closed_to(words.meaning, way, value) for way in ways]
        found = union(*every)
        return Cases(found.shapes, is_exact=False)

    return assertion


def _closed_to(meaning: "Meaning", way: "_Way", value: Conjunction) -> Cases:
    """Return the values of a way of evaluation, where all other keys match `value`."""
    if way.has_all:
        return meaning.cases(way.literals)
    split = [frozenset[tuple[str, bool]]()]
    for pattern in sorted(way.patterns):
        split = [signs | {(pattern, sign)} for sign in (False, True) for signs in split]
        split = sorted(split, key=_num_found)[:_MAX_CLASSES]
    others = tuple(
        Keys(signs, ANYTHING if any(sign for _, sign in signs) else value) for signs in split
    )
    named = tuple((key, ANYTHING) for key in sorted(way.keys))
    return meaning.intersect(
        meaning.cases(way.literals), restrict("object", Object(named, others=others))
    )


def _num_found(signs: frozenset[tuple[str, bool]]) -> int:
    return sum(sign for _, sign in signs)


class _Way:
    """One way to match a schema, and the keys that it evaluates."""

    def __init__(
        self,
        literals: Conjunction,
        keys: frozenset[str],
        patterns: frozenset[str],
        *,
        has_all: bool,
    ) -> None:
        self.literals = literals
        self.keys = keys
        self.patterns = patterns
        self.has_all = has_all

    def beside(self, other: "_Way") -> "_Way":
        """Combine two ways that both apply."""
        return _Way(
            self.literals | other.literals,
            self.keys | other.keys,
            self.patterns | other.patterns,
            has_all=self.has_all or other.has_all,
        )


def _ways(meaning: "Meaning", number: int, running: frozenset[int]) -> list[_Way]:
    """Return the ways to match a schema, with the keys that each certainly evaluates."""
    schema = meaning.document.schemas[number]
    nothing = _Way(ANYTHING, frozenset(), frozenset(), has_all=False)
    if not isinstance(schema, dict) or number in running:
        return [nothing]
    meaning.budget.spend()
    running |= {number}
    words = Keywords(meaning, number, schema)
    has_all = "additionalProperties" in words or (
        len(running) > 1 and "unevaluatedProperties" in words
    )
    keys, patterns = frozenset(words.mapping("properties")), words.mapping("patternProperties")
    ways = [_Way(ANYTHING, keys, frozenset(patterns), has_all=has_all)]
    both: list[int] = words.each("allOf") if "allOf" in words else []
    if "$ref" in words:
        both.append(words.document.resolve(number, "$ref"))
    choices = [_ways(meaning, inner, running) for inner in both]
    choices += [
        [way for inner in words.each(word) for way in _optional_ways(meaning, inner, running)]
        for word in ("anyOf", "oneOf")
        if word in words
    ]
    if "if" in words:
        choices.append(_conditional_ways(words, running))
    for choice in choices:
        meaning.budget.spend(len(ways) * len(choice))
        ways = [way.beside(other) for way in ways for other in choice][:_MAX_WAYS]
    return ways


def _optional_ways(meaning: "Meaning", number: int, running: frozenset[int]) -> list[_Way]:
    """Return the ways to match a schema, where matching it is one of several alternatives."""
    chosen = _Way(conjunction_of((number, True)), frozenset(), frozenset(), has_all=False)
    return [chosen.beside(way) for way in _ways(meaning, number, running)]


def _conditional_ways(words: Keywords, running: frozenset[int]) -> list[_Way]:
    test = words.inner("if")
    then = _optional_ways(words.meaning, test, running)
    if "then" in words:
        inner = _ways(words.meaning, words.inner("then"), running)
        then = [way.beside(other) for way in then for other in inner]
    unmet = _Way(conjunction_of((test, False)), frozenset(), frozenset(), has_all=False)
    otherwise = [unmet]
    if "else" in words:
        inner = _ways(words.meaning, words.inner("else"), running)
        otherwise = [unmet.beside(other) for other in inner]
    return [*then, *otherwise]


def unevaluated_items_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `unevaluatedItems`."""
    value = words.matching("unevaluatedItems")

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        if not is_positive:
            return OMITTED
        size = _evaluated_items(words.meaning, words.number, frozenset())
        if size is None:
            return ALL
        shape = Array((ANYTHING,) * size, value)
        return Cases(restrict("array", shape).shapes, is_exact=False)

    return assertion


def _evaluated_items(meaning: "Meaning", number: int, running: frozenset[int]) -> int | None:
    """Return the number of leading items that are certainly evaluated; `None` for all."""
    schema = meaning.document.schemas[number]
    if not isinstance(schema, dict) or number in running:
        return 0
    meaning.budget.spend()
    running |= {number}
    words = Keywords(meaning, number, schema)
    prefix, rest = item_schemas(words)
    if rest is not None or (len(running) > 1 and "unevaluatedItems" in words):
        return None
    sizes: list[int | None] = [len(prefix)]
    inner: list[int] = words.each("allOf") if "allOf" in words else []
    if "$ref" in words:
        inner.append(words.document.resolve(number, "$ref"))
    sizes += [_evaluated_items(meaning, one, running) for one in inner]
    known = [size for size in sizes if size is not None]
    return max(known) if len(known) == len(sizes) else None
