"""The keywords of strings and numbers."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from concordance_sdk.constraints.schema.formats import INTEGERS, PATTERNS
from concordance_sdk.constraints.schema.keywords.reader import Assertion, Keywords
from concordance_sdk.constraints.schema.numbers import Interval, outside
from concordance_sdk.constraints.schema.shapes import ALL, NONE, OMITTED, Cases, Text, restrict


def text_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `minLength`, `maxLength` and `pattern`."""
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


def text_format_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `format` for strings."""
    form = words.schema["format"]
    known = PATTERNS.get(form) if isinstance(form, str) else None
    if known is None:
        return lambda is_positive: ALL if is_positive else NONE
    text = Text(patterns=frozenset({(known, True)}))
    return lambda is_positive: restrict("string", text) if is_positive else OMITTED


def bounds_assertion(words: Keywords) -> Assertion:
    """Build the assertion of the bounds and multiples of numbers."""
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


def _intervals(words: Keywords) -> Iterator[Interval]:
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


def number_format_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `format` for numbers."""
    bounds = INTEGERS.get(str(words.schema["format"]))
    if bounds is None:
        return lambda is_positive: ALL if is_positive else NONE
    interval = Interval(Decimal(bounds[0]), Decimal(bounds[1]), is_integer=True)
    return lambda is_positive: restrict("number", interval) if is_positive else OMITTED
