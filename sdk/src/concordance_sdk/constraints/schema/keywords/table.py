"""The table of keywords and their assertions, with the drafts that have them."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from concordance_sdk.constraints.schema.keywords.arrays import array_assertion, contains_assertion
from concordance_sdk.constraints.schema.keywords.combinations import (
    all_of_assertion,
    any_of_assertion,
    disallow_assertion,
    if_assertion,
    not_assertion,
    one_of_assertion,
)
from concordance_sdk.constraints.schema.keywords.objects import (
    dependencies_assertion,
    object_assertion,
    property_names_assertion,
)
from concordance_sdk.constraints.schema.keywords.reader import (
    DRAFT_2019,
    DRAFT_2020,
    Assertion,
    Keywords,
)
from concordance_sdk.constraints.schema.keywords.scalars import (
    bounds_assertion,
    number_format_assertion,
    text_assertion,
    text_format_assertion,
)
from concordance_sdk.constraints.schema.keywords.unevaluated import (
    unevaluated_items_assertion,
    unevaluated_properties_assertion,
)
from concordance_sdk.constraints.schema.keywords.values import (
    reference_assertion,
    type_assertion,
    values_assertion,
)
from concordance_sdk.constraints.schema.shapes import OMITTED, Cases

if TYPE_CHECKING:
    from concordance_sdk.constraints.schema.meaning import Meaning

#: The first and last draft of keywords that not all drafts have. In other drafts a keyword is an
#: annotation, but it is still enforced, since the author of the schema means it.
_SINCE = {
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "not", "minProperties", "maxProperties"), 4),
    **dict.fromkeys(("const", "contains", "propertyNames"), 6),
    **dict.fromkeys(("if", "then", "else"), 7),
    **dict.fromkeys(
        ("dependentRequired", "dependentSchemas", "minContains", "maxContains"), DRAFT_2019
    ),
    **dict.fromkeys(("unevaluatedProperties", "unevaluatedItems"), DRAFT_2019),
    **dict.fromkeys(("prefixItems", "$dynamicRef"), DRAFT_2020),
}

_UNTIL = {
    **dict.fromkeys(("extends", "disallow", "divisibleBy"), 3),
    "dependencies": 7,
    "additionalItems": DRAFT_2019,
    "$recursiveRef": DRAFT_2019,
}


def assertions(meaning: "Meaning", number: int) -> Iterator[Assertion]:
    """Yield the assertions of a schema.

    References are first; keywords that combine many alternatives are last.
    """
    schema = meaning.document.schemas[number]
    assert isinstance(schema, dict)
    draft = meaning.draft
    for words, build in _ASSERTIONS:
        used = words.intersection(schema)
        if not used:
            continue
        assertion = build(Keywords(meaning, number, schema))
        is_of_draft = all(_is_of_draft(word, schema[word], draft) for word in used)
        yield assertion if is_of_draft else _unless_negated(assertion)


def _is_of_draft(word: str, value: Any, draft: int) -> bool:
    """True if a draft gives this keyword, with this value, the semantics implemented here."""
    if word == "items" and isinstance(value, list):
        return draft < DRAFT_2020
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


#: Sets of keywords and the function that builds their assertion, in the order of combination.
_ASSERTIONS: tuple[tuple[frozenset[str], Callable[[Keywords], Assertion]], ...] = tuple(
    (frozenset(words), build)
    for words, build in (
        (("$ref",), reference_assertion("$ref")),
        (("$dynamicRef",), reference_assertion("$dynamicRef")),
        (("$recursiveRef",), reference_assertion("$recursiveRef")),
        (("type",), type_assertion),
        (("const",), values_assertion("const")),
        (("enum",), values_assertion("enum")),
        (("minLength", "maxLength", "pattern"), text_assertion),
        (("format",), text_format_assertion),
        (("format",), number_format_assertion),
        (
            (
                *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
                *("multipleOf", "divisibleBy"),
            ),
            bounds_assertion,
        ),
        (
            (*("items", "prefixItems", "minItems", "maxItems", "uniqueItems"), "additionalItems"),
            array_assertion,
        ),
        (("contains", "minContains", "maxContains"), contains_assertion),
        (
            (
                *("properties", "required", "patternProperties", "additionalProperties"),
                *("minProperties", "maxProperties"),
            ),
            object_assertion,
        ),
        (("propertyNames",), property_names_assertion),
        (("disallow",), disallow_assertion),
        (("not",), not_assertion),
        (("allOf",), all_of_assertion("allOf")),
        (("extends",), all_of_assertion("extends")),
        (("anyOf",), any_of_assertion),
        (("oneOf",), one_of_assertion),
        (("dependencies",), dependencies_assertion("dependencies")),
        (("dependentRequired",), dependencies_assertion("dependentRequired")),
        (("dependentSchemas",), dependencies_assertion("dependentSchemas")),
        (("if",), if_assertion),
        (("unevaluatedProperties",), unevaluated_properties_assertion),
        (("unevaluatedItems",), unevaluated_items_assertion),
    )
)
