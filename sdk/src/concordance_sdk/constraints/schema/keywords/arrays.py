"""The keywords of arrays."""

from collections.abc import Iterator
from typing import Any, cast

from concordance_sdk.constraints.schema.keywords.reader import (
    DRAFT_2019,
    DRAFT_2020,
    Assertion,
    Keywords,
    conjunction_of,
)
from concordance_sdk.constraints.schema.shapes import (
    ALL,
    ANYTHING,
    NONE,
    OMITTED,
    Array,
    Cases,
    restrict,
)

#: Maximum of `minContains`.
_MAX_CONTAINED = 1000


def array_assertion(words: Keywords) -> Assertion:
    """Build the assertion of the items of arrays and their number."""
    prefix, rest = item_schemas(words)
    least, most = words.count("minItems") or 0, words.count("maxItems")
    is_unique: Any = words.schema.get("uniqueItems", False)
    if not isinstance(is_unique, bool):
        raise words.fail("uniqueItems", f"is true or false, not {is_unique!r:.40}")

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        if not is_positive:
            return Cases({"array": tuple(_broken_arrays(prefix, rest, least, most))}, not is_unique)
        if most is not None and most < least:
            return restrict("array")
        following = ANYTHING if rest is None else conjunction_of((rest, True))
        is_old = "prefixItems" in words and words.meaning.draft < DRAFT_2020
        also = following if is_old else ANYTHING  # older drafts apply `items` to the prefix, too
        every = tuple(conjunction_of((number, True)) | also for number in prefix)
        return restrict("array", Array(every, following, least, most, is_unique))

    return assertion


def item_schemas(words: Keywords) -> tuple[list[int], int | None]:
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
        broken = conjunction_of((number, False))
        yield Array((ANYTHING,) * i + (broken,), least=i + 1)
    if rest is not None:
        broken = conjunction_of((rest, False))
        yield Array((ANYTHING,) * len(prefix) + (broken,), least=len(prefix) + 1)
    if least:
        yield Array(most=least - 1)
    if most is not None:
        yield Array(least=most + 1)


def contains_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `contains`, `minContains` and `maxContains`."""
    if "contains" not in words:
        return lambda is_positive: ALL if is_positive else NONE
    given = words.count("minContains")
    least, most = 1 if given is None else given, words.count("maxContains")
    if words.meaning.draft < DRAFT_2019:
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
