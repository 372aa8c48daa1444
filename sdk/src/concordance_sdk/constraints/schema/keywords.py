"""The keywords of JSON Schema, from draft 3 to 2020-12: the values that match or violate each."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

from concordance_shared import ConstraintError

from concordance_sdk.constraints.schema.formats import INTEGERS, PATTERNS
from concordance_sdk.constraints.schema.numbers import Interval, outside
from concordance_sdk.constraints.schema.patterns import compile_pattern
from concordance_sdk.constraints.schema.shapes import (
    ALL,
    ANYTHING,
    NONE,
    NOTHING,
    OMITTED,
    TYPES,
    Array,
    Boolean,
    Cases,
    Conjunction,
    Keys,
    Null,
    Object,
    Text,
    only,
    restrict,
    union,
)
from concordance_sdk.constraints.schema.texts import (
    has_texts,
    is_found,
    may_match,
    require_usable,
)

if TYPE_CHECKING:
    from concordance_sdk.constraints.schema.meaning import Meaning

Assertion = Callable[[bool], Cases]

_TYPE_NAMES = "string, number, integer, boolean, null, array, object"

_2019, _2020 = 2019, 2020

#: The first and last draft of keywords that not all drafts have. In other drafts a keyword is an
#: annotation, but it is still enforced, since the author of the schema means it.
_SINCE = {
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "not", "minProperties", "maxProperties"), 4),
    **dict.fromkeys(("const", "contains", "propertyNames"), 6),
    **dict.fromkeys(("if", "then", "else"), 7),
    **dict.fromkeys(("dependentRequired", "dependentSchemas", "minContains", "maxContains"), _2019),
    **dict.fromkeys(("unevaluatedProperties", "unevaluatedItems"), _2019),
    **dict.fromkeys(("prefixItems", "$dynamicRef"), _2020),
}
_UNTIL = {
    **dict.fromkeys(("extends", "disallow", "divisibleBy"), 3),
    "dependencies": 7,
    "additionalItems": _2019,
    "$recursiveRef": _2019,
}

#: With more patterns than this, keys that several patterns match are omitted.
_MAX_OVERLAPPING = 5

#: Maximum number of classes of keys, by the patterns that match them.
_MAX_CLASSES = 64

#: Larger counts are treated as no limit: no document is that large.
_MAX_COUNT = 2**31 - 1

#: Maximum of `minContains`.
_MAX_CONTAINED = 1000

#: Maximum number of alternatives to consider for what is evaluated.
_MAX_WAYS = 64


def assertions(meaning: "Meaning", number: int) -> Iterator[Assertion]:
    """Yield the assertions of a schema, each as a function of whether it is to match or violate.

    References are first; keywords that combine many alternatives are last.
    """
    schema = meaning.document.schemas[number]
    assert isinstance(schema, dict)
    draft = meaning.draft
    for words, build in _ASSERTIONS:
        used = words.intersection(schema)
        if not used:
            continue
        assertion = build(_Keywords(meaning, number, schema))
        is_of_draft = all(_is_of_draft(word, schema[word], draft) for word in used)
        yield assertion if is_of_draft else _unless_negated(assertion)


def _is_of_draft(word: str, value: Any, draft: int) -> bool:
    """True if a draft gives this keyword, with this value, the semantics implemented here."""
    if word == "items" and isinstance(value, list):
        return draft < _2020
    if word in ("exclusiveMinimum", "exclusiveMaximum"):
        return (draft <= 4) == isinstance(value, bool)
    if word == "type":
        return draft == 3 or not _has_schemas(value)
    if word == "required":
        return isinstance(value, list)
    if word == "format":
        return False  # validators may treat it as an annotation or as an assertion
    return _SINCE.get(word, 3) <= draft <= _UNTIL.get(word, draft)


def _has_schemas(types: Any) -> bool:
    return types == "any" or (
        isinstance(types, list)
        and any(not isinstance(name, str) or name == "any" for name in cast(list[Any], types))
    )


def _unless_negated(enforced: Assertion) -> Assertion:
    """Enforce an assertion that a draft may ignore, but conclude nothing from its negation."""

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        return Cases(enforced(True).shapes, is_exact=False) if is_positive else OMITTED  # noqa: FBT003

    return assertion


class _Keywords:
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
        return _literals((self.inner(*steps), True))

    def violating(self, *steps: str | int) -> Conjunction:
        """Return the conjunction of values that violate a nested schema."""
        return _literals((self.inner(*steps), False))

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
        if isinstance(value, bool) or not _is_double(value):
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


def _is_double(value: Any) -> bool:
    """True for a number that a double can represent."""
    try:
        return isinstance(value, int | float) and isfinite(value)
    except OverflowError:  # a large integer
        return False


def decimal_of(value: float) -> Decimal:
    """Convert a number to the decimal with the digits of its JSON text."""
    return Decimal(value) if isinstance(value, int) else Decimal(repr(value))


def _literals(*literals: tuple[int, bool]) -> Conjunction:
    """Build a conjunction; the schemas `true` and `false` are simplified."""
    found: set[tuple[int, bool]] = set()
    for number, is_positive in literals:
        if number > 1:
            found.add((number, is_positive))
        elif (number == 0) != is_positive:
            return NOTHING
    return frozenset(found)


def _reference(word: str) -> Callable[[_Keywords], Assertion]:
    def assertion(words: _Keywords) -> Assertion:
        if word == "$recursiveRef":
            raise words.fail(word, "cannot be enforced; use '$ref'")
        target = words.document.resolve(words.number, word)
        return lambda is_positive: words.meaning.literal(target, is_positive)

    return assertion


# -- types and values


def _type(words: _Keywords) -> Assertion:
    given: Any = words.schema["type"]
    names = cast(list[Any], given) if isinstance(given, list) else [given]
    kinds = [_of_type(words, i, name) for i, name in enumerate(names)]

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        if is_positive:
            return union(*(kind(True) for kind in kinds))  # noqa: FBT003
        return words.meaning.intersect_all(kind(False) for kind in kinds)  # noqa: FBT003

    return assertion


def _of_type(words: _Keywords, index: int, name: Any) -> Assertion:
    if isinstance(name, dict):  # of draft 3
        inner = words.inner("type", index)
        return lambda is_positive: words.meaning.literal(inner, is_positive)
    if name == "any":
        return lambda is_positive: ALL if is_positive else NONE
    if name == "integer":
        return lambda is_positive: (
            only("number", Interval(is_integer=True))
            if is_positive
            else Cases({**ALL.shapes, "number": ()}, is_exact=False)
        )
    if name not in TYPES:
        raise words.fail("type", f"{name!r:.40} is not a type; the types are: {_TYPE_NAMES}")
    rest = [kind for kind in TYPES if kind != name]
    return lambda is_positive: ALL.of(name) if is_positive else ALL.of(*rest)


def _values(word: str) -> Callable[[_Keywords], Assertion]:
    def assertion(words: _Keywords) -> Assertion:
        values: Any = words.schema[word] if word == "enum" else [words.schema[word]]
        if not isinstance(values, list):
            raise words.fail(word, f"is a list of values, not {values!r:.40}")
        given = cast(list[Any], values)
        return lambda is_positive: (
            _one_of(words, word, given) if is_positive else _none_of(words, word, given)
        )

    return assertion


def _one_of(words: _Keywords, word: str, values: list[Any]) -> Cases:
    texts = frozenset(value for value in values if isinstance(value, str))
    booleans = frozenset(value for value in values if isinstance(value, bool))
    shapes: dict[str, tuple[Any, ...]] = {
        "null": (Null(),) if None in values else (),
        "boolean": (Boolean(booleans),) if booleans else (),
        "string": (Text(texts),) if texts else (),
        "number": tuple(dict.fromkeys(Interval(n, n) for n in _numbers(words, word, values))),
    }
    derived = [_derived(words, word, value) for value in values if isinstance(value, list | dict)]
    return union(Cases(shapes), *(words.meaning.literal(number, True) for number in derived))  # noqa: FBT003


def _none_of(words: _Keywords, word: str, values: list[Any]) -> Cases:
    texts = frozenset(value for value in values if isinstance(value, str))
    booleans = frozenset(value for value in values if isinstance(value, bool))
    left = Boolean().values - booleans
    shapes: dict[str, tuple[Any, ...]] = {
        **ALL.shapes,
        "null": () if None in values else (Null(),),
        "boolean": (Boolean(left),) if left else (),
        "string": (Text(excluded=texts),),
        "number": tuple(_between(sorted(set(_numbers(words, word, values))))),
    }
    derived = [_derived(words, word, value) for value in values if isinstance(value, list | dict)]
    violated = (words.meaning.literal(number, False) for number in derived)  # noqa: FBT003
    return words.meaning.intersect_all([Cases(shapes), *violated])


def _numbers(words: _Keywords, word: str, values: list[Any]) -> list[Decimal]:
    found: list[Decimal] = []
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not _is_double(value):
                raise words.fail(word, f"must be JSON numbers, not {value!r}")
            found.append(decimal_of(value))
    return found


def _between(points: list[Decimal]) -> Iterator[Interval]:
    """Yield the open intervals between, below and above some points."""
    if not points:
        yield Interval()
        return
    yield Interval(high=points[0], is_high_open=True)
    for low, high in pairwise(points):
        yield Interval(low, high, is_low_open=True, is_high_open=True)
    yield Interval(low=points[-1], is_low_open=True)


def _derived(words: _Keywords, word: str, value: Any) -> int:
    """Return the number of a schema that matches exactly one array or object."""
    if isinstance(value, list):
        items = cast(list[Any], value)
        schema: dict[str, Any] = {
            "type": "array",
            "prefixItems": [{"const": item} for item in items],
            "items": False,
            "minItems": len(items),
        }
        if not items:
            del schema["prefixItems"]
    else:
        members = cast(dict[str, Any], value)
        schema = {
            "type": "object",
            "properties": {key: {"const": inner} for key, inner in members.items()},
            "required": list(members),
            "additionalProperties": False,
        }
    return words.document.derived(schema, words.number, word)


# -- texts and numbers


def _texts(words: _Keywords) -> Assertion:
    least, most = words.count("minLength") or 0, words.count("maxLength")
    patterns: list[str] = []
    if "pattern" in words:
        source = words.schema["pattern"]
        if not isinstance(source, str):
            raise words.fail("pattern", f"is a string, not {source!r:.40}")
        patterns.append(words.pattern(source, "pattern"))

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        if is_positive:
            if most is not None and most < least:
                return restrict("string")
            found = frozenset((pattern, True) for pattern in patterns)
            return restrict("string", Text(patterns=found, least=least, most=most))
        broken = [Text(patterns=frozenset({(pattern, False)})) for pattern in patterns]
        if least:
            broken.append(Text(most=least - 1))
        if most is not None:
            broken.append(Text(least=most + 1))
        return Cases({"string": tuple(broken)})

    return assertion


def _formatted(words: _Keywords) -> Assertion:
    form = words.schema["format"]
    known = PATTERNS.get(form) if isinstance(form, str) else None
    if known is None:
        return lambda is_positive: ALL if is_positive else NONE
    text = Text(patterns=frozenset({(known, True)}))
    return lambda is_positive: restrict("string", text) if is_positive else OMITTED


def _bounds(words: _Keywords) -> Assertion:
    intervals = list(_intervals(words))
    multiples = [
        multiple
        for word in ("multipleOf", "divisibleBy")
        if (multiple := words.number_of(word)) is not None
    ]
    if any(multiple <= 0 for multiple in multiples):
        word = "multipleOf" if "multipleOf" in words else "divisibleBy"
        raise words.fail(word, f"is above 0, not {words.schema[word]!r:.40}")

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        if not is_positive:
            beyond = tuple(other for interval in intervals for other in outside(interval))
            return Cases({"number": beyond}, is_exact=not multiples)
        found = [Interval(multiple=Fraction(multiple)) for multiple in multiples]
        return words.meaning.intersect_all(restrict("number", one) for one in [*intervals, *found])

    return assertion


def _intervals(words: _Keywords) -> Iterator[Interval]:
    """Yield the bounds; exclusive ones as booleans of draft 4 or as numbers of later drafts."""
    low, high = words.number_of("minimum"), words.number_of("maximum")
    if low is not None:
        yield Interval(low=low, is_low_open=words.schema.get("exclusiveMinimum") is True)
    if high is not None:
        yield Interval(high=high, is_high_open=words.schema.get("exclusiveMaximum") is True)
    if (low := words.number_of("exclusiveMinimum")) is not None:
        yield Interval(low=low, is_low_open=True)
    if (high := words.number_of("exclusiveMaximum")) is not None:
        yield Interval(high=high, is_high_open=True)


def _number_format(words: _Keywords) -> Assertion:
    bounds = INTEGERS.get(str(words.schema["format"]))
    if bounds is None:
        return lambda is_positive: ALL if is_positive else NONE
    interval = Interval(Decimal(bounds[0]), Decimal(bounds[1]), is_integer=True)
    return lambda is_positive: restrict("number", interval) if is_positive else OMITTED


# -- arrays


def _arrays(words: _Keywords) -> Assertion:
    prefix, rest = _items(words)
    least, most = words.count("minItems") or 0, words.count("maxItems")
    is_unique: Any = words.schema.get("uniqueItems", False)
    if not isinstance(is_unique, bool):
        raise words.fail("uniqueItems", f"is true or false, not {is_unique!r:.40}")

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        if not is_positive:
            return Cases({"array": tuple(_broken_arrays(prefix, rest, least, most))}, not is_unique)
        if most is not None and most < least:
            return restrict("array")
        following = ANYTHING if rest is None else _literals((rest, True))
        is_old = "prefixItems" in words and words.meaning.draft < _2020
        also = following if is_old else ANYTHING  # older drafts apply `items` to the prefix, too
        every = tuple(_literals((number, True)) | also for number in prefix)
        return restrict("array", Array(every, following, least, most, is_unique))

    return assertion


def _items(words: _Keywords) -> tuple[list[int], int | None]:
    """Return the schemas of the first items, and that of all others, if any."""
    items: Any = words.schema.get("items")
    if "prefixItems" in words:
        prefix = words.each("prefixItems")
        return prefix, words.inner("items") if "items" in words else None
    if isinstance(items, list):
        count = len(cast(list[Any], items))
        prefix = [words.inner("items", i) for i in range(count)]
        return prefix, words.inner("additionalItems") if "additionalItems" in words else None
    return [], words.inner("items") if "items" in words else None


def _broken_arrays(
    prefix: list[int], rest: int | None, least: int, most: int | None
) -> Iterator[Array]:
    """Yield the ways to violate one of the constraints on an array.

    Of the items after the prefix, only the first one is made to violate the schema.
    """
    for i, number in enumerate(prefix):
        broken = _literals((number, False))
        yield Array((ANYTHING,) * i + (broken,), least=i + 1)
    if rest is not None:
        broken = _literals((rest, False))
        yield Array((ANYTHING,) * len(prefix) + (broken,), least=len(prefix) + 1)
    if least:
        yield Array(most=least - 1)
    if most is not None:
        yield Array(least=most + 1)


def _contains(words: _Keywords) -> Assertion:
    if "contains" not in words:
        return lambda is_positive: ALL if is_positive else NONE
    given = words.count("minContains")
    least, most = 1 if given is None else given, words.count("maxContains")
    if words.meaning.draft < _2019:
        least = max(least, 1)  # older drafts do not have `minContains`
    if least > _MAX_CONTAINED:
        raise words.fail("minContains", f"requires more than {_MAX_CONTAINED} items")
    inside, outside_ = words.matching("contains"), words.violating("contains")

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        if is_positive and most is None:
            return restrict("array", Array(contained=(inside,) * least, least=least))
        if is_positive and most is not None and most >= least:
            prefix = (inside,) * least
            return Cases(restrict("array", Array(prefix, outside_, least)).shapes, is_exact=False)
        if is_positive:
            return restrict("array")
        if least == 0:
            return OMITTED if most is not None else NONE
        is_exact = least == 1 and most is None
        return Cases({"array": (Array(rest=outside_),)}, is_exact)

    return assertion


# -- objects


def _objects(words: _Keywords) -> Assertion:
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
            Object(((key, _literals((number, False))),), frozenset({key}))
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


def _required(words: _Keywords, properties: dict[str, Any]) -> frozenset[str]:
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


def _key_classes(words: _Keywords, patterns: dict[str, int], other: int | None) -> tuple[Keys, ...]:
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
    following = ANYTHING if other is None else _literals((other, True))
    return tuple(
        Keys(signs, _literals(*literals) if any(sign for _, sign in signs) else following)
        for signs, literals in found
    )


def _named(
    numbers: dict[str, int],
    patterns: dict[str, int],
    required: frozenset[str],
    others: tuple[Keys, ...],
) -> dict[str, Conjunction]:
    named = {
        key: _literals(
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


def _property_names(words: _Keywords) -> Assertion:
    keys = words.matching("propertyNames")
    if keys >= NOTHING:
        return lambda is_positive: restrict("object", Object(most=0)) if is_positive else OMITTED
    return lambda is_positive: restrict("object", Object(keys=keys)) if is_positive else OMITTED


def _dependencies(word: str) -> Callable[[_Keywords], Assertion]:
    def assertion(words: _Keywords) -> Assertion:
        given = words.mapping(word)
        return lambda is_positive: (
            words.meaning.intersect_all(_dependency(words, word, key) for key in given)
            if is_positive
            else union(*(_broken_dependency(words, word, key) for key in given))
        )

    return assertion


def _needs(words: _Keywords, word: str, key: str) -> Cases | None:
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


def _dependency(words: _Keywords, word: str, key: str) -> Cases:
    needed = _needs(words, word, key)
    if needed is None:
        needed = words.meaning.literal(words.inner(word, key), True)  # noqa: FBT003
    absent = restrict("object", Object(((key, NOTHING),)))
    present = only("object", _having([key]))
    return union(absent, words.meaning.intersect(needed, present))


def _broken_dependency(words: _Keywords, word: str, key: str) -> Cases:
    present = only("object", _having([key]))
    value: Any = words.schema[word][key]
    if isinstance(value, list | str):
        names = [value] if isinstance(value, str) else cast(list[str], value)
        missing = (only("object", Object(((name, NOTHING),))) for name in names)
        return words.meaning.intersect(present, union(*missing))
    broken = words.meaning.literal(words.inner(word, key), False)  # noqa: FBT003
    return words.meaning.intersect(present, broken)


# -- combinations


def _all_of(word: str) -> Callable[[_Keywords], Assertion]:
    def assertion(words: _Keywords) -> Assertion:
        is_one = isinstance(words.schema[word], dict)  # `extends` of draft 3 can be one schema
        numbers = [words.inner(word)] if is_one else words.each(word)
        literal = words.meaning.literal
        return lambda is_positive: (
            words.meaning.intersect_all(literal(number, True) for number in numbers)  # noqa: FBT003
            if is_positive
            else union(*(literal(number, False) for number in numbers))  # noqa: FBT003
        )

    return assertion


def _any_of(words: _Keywords) -> Assertion:
    numbers = words.each("anyOf")
    literal = words.meaning.literal
    return lambda is_positive: (
        union(*(literal(number, True) for number in numbers))  # noqa: FBT003
        if is_positive
        else words.meaning.intersect_all(literal(number, False) for number in numbers)  # noqa: FBT003
    )


def _one_only(words: _Keywords) -> Assertion:
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
        if not meaning.is_empty(_literals((number, True), (other, True))):
            found = meaning.intersect(found, meaning.literal(other, False))  # noqa: FBT003
    return found


def _not(words: _Keywords) -> Assertion:
    inner = words.inner("not")
    return lambda is_positive: words.meaning.literal(inner, not is_positive)


def _disallow(words: _Keywords) -> Assertion:
    made = words.document.derived({"type": words.schema["disallow"]}, words.number, "disallow")
    return lambda is_positive: words.meaning.literal(made, not is_positive)


def _if(words: _Keywords) -> Assertion:
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


# -- unevaluated members and items


def _unevaluated_properties(words: _Keywords) -> Assertion:
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
    words = _Keywords(meaning, number, schema)
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
    chosen = _Way(_literals((number, True)), frozenset(), frozenset(), has_all=False)
    return [chosen.beside(way) for way in _ways(meaning, number, running)]


def _conditional_ways(words: _Keywords, running: frozenset[int]) -> list[_Way]:
    test = words.inner("if")
    then = _optional_ways(words.meaning, test, running)
    if "then" in words:
        inner = _ways(words.meaning, words.inner("then"), running)
        then = [way.beside(other) for way in then for other in inner]
    unmet = _Way(_literals((test, False)), frozenset(), frozenset(), has_all=False)
    otherwise = [unmet]
    if "else" in words:
        inner = _ways(words.meaning, words.inner("else"), running)
        otherwise = [unmet.beside(other) for other in inner]
    return [*then, *otherwise]


def _unevaluated_items(words: _Keywords) -> Assertion:
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
    words = _Keywords(meaning, number, schema)
    prefix, rest = _items(words)
    if rest is not None or (len(running) > 1 and "unevaluatedItems" in words):
        return None
    sizes: list[int | None] = [len(prefix)]
    inner: list[int] = words.each("allOf") if "allOf" in words else []
    if "$ref" in words:
        inner.append(words.document.resolve(number, "$ref"))
    sizes += [_evaluated_items(meaning, one, running) for one in inner]
    known = [size for size in sizes if size is not None]
    return max(known) if len(known) == len(sizes) else None


#: Sets of keywords and the function that builds their assertion, in the order of combination.
_ASSERTIONS: tuple[tuple[frozenset[str], Callable[[_Keywords], Assertion]], ...] = tuple(
    (frozenset(words), build)
    for words, build in (
        (("$ref",), _reference("$ref")),
        (("$dynamicRef",), _reference("$dynamicRef")),
        (("$recursiveRef",), _reference("$recursiveRef")),
        (("type",), _type),
        (("const",), _values("const")),
        (("enum",), _values("enum")),
        (("minLength", "maxLength", "pattern"), _texts),
        (("format",), _formatted),
        (("format",), _number_format),
        (
            (
                *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
                *("multipleOf", "divisibleBy"),
            ),
            _bounds,
        ),
        (
            (*("items", "prefixItems", "minItems", "maxItems", "uniqueItems"), "additionalItems"),
            _arrays,
        ),
        (("contains", "minContains", "maxContains"), _contains),
        (
            (
                *("properties", "required", "patternProperties", "additionalProperties"),
                *("minProperties", "maxProperties"),
            ),
            _objects,
        ),
        (("propertyNames",), _property_names),
        (("disallow",), _disallow),
        (("not",), _not),
        (("allOf",), _all_of("allOf")),
        (("extends",), _all_of("extends")),
        (("anyOf",), _any_of),
        (("oneOf",), _one_only),
        (("dependencies",), _dependencies("dependencies")),
        (("dependentRequired",), _dependencies("dependentRequired")),
        (("dependentSchemas",), _dependencies("dependentSchemas")),
        (("if",), _if),
        (("unevaluatedProperties",), _unevaluated_properties),
        (("unevaluatedItems",), _unevaluated_items),
    )
)
