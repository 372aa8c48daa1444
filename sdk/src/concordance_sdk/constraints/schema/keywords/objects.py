"""The keywords of objects."""

from collections.abc import Callable
from typing import Any, cast

from concordance_sdk.constraints.schema.keywords.reader import Assertion, Keywords, conjunction_of
from concordance_sdk.constraints.schema.shapes import (
    ANYTHING,
    NOTHING,
    OMITTED,
    Cases,
    Conjunction,
    Keys,
    Object,
    Text,
    only,
    restrict,
    union,
)
from concordance_sdk.constraints.schema.texts import has_texts, is_found, may_match

#: With more patterns than this, keys that several patterns match are omitted.
_MAX_OVERLAPPING = 5


def object_assertion(words: Keywords) -> Assertion:
    """Build the assertion of the members of objects and their number."""
    properties = words.mapping("properties")
    numbers = {key: words.inner("properties", key) for key in properties}
    patterns = {
        pattern: words.inner("patternProperties", pattern)
        for pattern in words.mapping("patternProperties")
    }
    for pattern in patterns:
        words.pattern(pattern, "patternProperties", pattern)
    other = words.inner("additionalProperties") if "additionalProperties" in words else None
    required = _required(words, properties)
    least, most = words.count("minProperties") or 0, words.count("maxProperties")

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        if is_positive:
            others = _key_classes(words, patterns, other)
            named = _named(numbers, patterns, required, others)
            if most is not None and most < max(least, len(required)):
                return restrict("object")
            shape = Object(tuple(named.items()), required, others, ANYTHING, least, most)
            is_dead = any(named[key] >= NOTHING for key in required)
            if is_dead:
                return restrict("object")
            is_exact = len(patterns) <= _MAX_OVERLAPPING
            return Cases(restrict("object", shape).shapes, is_exact)
        broken = [
            Object(((key, conjunction_of((number, False))),), frozenset({key}))
            for key, number in numbers.items()
        ]
        broken += [Object(((key, NOTHING),)) for key in sorted(required)]
        if least:
            broken.append(Object(most=least - 1))
        if most is not None:
            broken.append(Object(least=most + 1))
        is_exact = not patterns and other in (None, 0)
        return Cases({"object": tuple(broken)}, is_exact)

    return assertion


def _required(words: Keywords, properties: dict[str, Any]) -> frozenset[str]:
    """Return the required keys; draft 3 declares them in the schema of the property."""
    given: Any = words.schema.get("required", [])
    if isinstance(given, bool):  # draft 3; handled by the object that has the property
        given = []
    if not isinstance(given, list) or not all(
        isinstance(key, str) for key in cast(list[Any], given)
    ):
        raise words.fail("required", f"is a list of names, not {given!r:.40}")
    own = (key for key, inner in properties.items() if _is_required(inner))
    return frozenset([*cast(list[str], given), *own])


def _is_required(schema: Any) -> bool:
    return isinstance(schema, dict) and cast(dict[str, Any], schema).get("required") is True


def _key_classes(words: Keywords, patterns: dict[str, int], other: int | None) -> tuple[Keys, ...]:
    """Partition the keys that are not named by the subset of the patterns that match them."""
    found: list[tuple[frozenset[tuple[str, bool]], frozenset[tuple[int, bool]]]]
    found = [(frozenset(), frozenset())]
    for pattern, number in patterns.items():
        inside = [
            (signs | {(pattern, True)}, literals | {(number, True)})
            for signs, literals in found
            if not literals or (len(patterns) <= _MAX_OVERLAPPING)
        ]
        words.meaning.budget.spend(len(found))
        outside_ = [(signs | {(pattern, False)}, literals) for signs, literals in found]
        found = outside_ + [
            (signs, literals)
            for signs, literals in inside
            if len(literals) < 2 or has_texts(Text(patterns=signs))
        ]
    following = ANYTHING if other is None else conjunction_of((other, True))
    return tuple(
        Keys(signs, conjunction_of(*literals) if any(sign for _, sign in signs) else following)
        for signs, literals in found
    )


def _named(
    numbers: dict[str, int],
    patterns: dict[str, int],
    required: frozenset[str],
    others: tuple[Keys, ...],
) -> dict[str, Conjunction]:
    named = {
        key: conjunction_of(
            (number, True), *((n, True) for p, n in patterns.items() if is_found(p, key, wide=True))
        )
        for key, number in numbers.items()
    }
    for key in sorted(required - named.keys()):
        named[key] = value_among(others, key)
    return named


def value_among(others: tuple[Keys, ...], key: str) -> Conjunction:
    """Return the conjunction for the value of a key that is not named.

    Joins all classes that the key may belong to: validators can disagree about a pattern.
    """
    found = [
        keys.value
        for keys in others
        if all(may_match(pattern, key, must_match=sign) for pattern, sign in keys.patterns)
    ]
    return frozenset[tuple[int, bool]]().union(*found) if found else NOTHING


def property_names_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `propertyNames`."""
    keys = words.matching("propertyNames")
    if keys >= NOTHING:
        return lambda is_positive: restrict("object", Object(most=0)) if is_positive else OMITTED
    return lambda is_positive: restrict("object", Object(keys=keys)) if is_positive else OMITTED


def dependencies_assertion(word: str) -> Callable[[Keywords], Assertion]:
    """Build the assertion of `dependencies` or one of its successors."""

    def assertion(words: Keywords) -> Assertion:
        given = words.mapping(word)
        return lambda is_positive: (
            words.meaning.intersect_all(_dependency(words, word, key) for key in given)
            if is_positive
            else union(*(_broken_dependency(words, word, key) for key in given))
        )

    return assertion


def _needs(words: Keywords, word: str, key: str) -> Cases | None:
    """Return the objects with the keys that a key requires; `None` if it requires a schema."""
    value: Any = words.schema[word][key]
    needed = [value] if isinstance(value, str) else value
    if not isinstance(needed, list):
        return None
    keys = cast(list[Any], needed)
    if not all(isinstance(name, str) for name in keys):
        raise words.fail(word, f"is a list of keys, not {keys!r:.40}")
    return restrict("object", _having(keys))


def _having(keys: list[str]) -> Object:
    return Object(tuple((key, ANYTHING) for key in dict.fromkeys(keys)), frozenset(keys))


def _dependency(words: Keywords, word: str, key: str) -> Cases:
    needed = _needs(words, word, key)
    if needed is None:
        needed = words.meaning.literal(words.inner(word, key), True)  # noqa: FBT003
    absent = restrict("object", Object(((key, NOTHING),)))
    present = only("object", _having([key]))
    return union(absent, words.meaning.intersect(needed, present))


def _broken_dependency(words: Keywords, word: str, key: str) -> Cases:
    present = only("object", _having([key]))
    value: Any = words.schema[word][key]
    if isinstance(value, list | str):
        names = [value] if isinstance(value, str) else cast(list[str], value)
        missing = (only("object", Object(((name, NOTHING),))) for name in names)
        return words.meaning.intersect(present, union(*missing))
    broken = words.meaning.literal(words.inner(word, key), False)  # noqa: FBT003
    return words.meaning.intersect(present, broken)
