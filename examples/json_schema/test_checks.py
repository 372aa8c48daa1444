"""Keywords that are removed from schemas, and their checks: no tokens, no model."""

import pytest
from checks import problems, without_checked

UNIQUE = {"type": "array", "uniqueItems": True}
WITH_NAME = {"dependentRequired": {"card": ["name"]}}


@pytest.mark.parametrize("word", ["anyOf", "allOf", "oneOf", "prefixItems", "items"])
def test_checked_keyword_is_removed_from_lists_of_schemas(word):
    assert without_checked({word: [UNIQUE]}) == {word: [{"type": "array"}]}


@pytest.mark.parametrize("word", ["properties", "patternProperties", "$defs", "definitions"])
def test_checked_keyword_is_removed_under_names_and_names_stay(word):
    assert without_checked({word: {"uniqueItems": UNIQUE}}) == {
        word: {"uniqueItems": {"type": "array"}}
    }


@pytest.mark.parametrize("word", ["const", "default", "not", "if", "contains", "x-mine"])
def test_values_that_are_not_schemas_stay(word):
    assert without_checked({word: UNIQUE}) == {word: UNIQUE}


@pytest.mark.parametrize(
    "left",
    [
        {"$ref": "#far", "$defs": {"Far": {"$anchor": "far", **UNIQUE}}},
        {"$ref": "https://example.org/schema", **UNIQUE},
        {"$ref": "#/$defs/Missing", **UNIQUE},
        {"properties": {"inner": {"$id": "https://example.org/inner", **UNIQUE}}},
        {"patternProperties": {r"\p{L}": UNIQUE}},
    ],
    ids=["an anchor", "another document", "nothing", "a document inside", "a pattern"],
)
def test_nothing_is_removed_if_not_everything_can_be_checked(left):
    assert without_checked(left) == left


@pytest.mark.parametrize(
    ("schema", "document", "wrong"),
    [
        (UNIQUE, [1, 2], []),
        (UNIQUE, [{"a": 1}, {"a": 1}], ["$ has {'a': 1} twice"]),
        ({"items": UNIQUE}, [[1], [2, 2]], ["$[1] has 2 twice"]),
        ({"prefixItems": [{}, UNIQUE]}, [[1, 1], [2, 2]], ["$[1] has 2 twice"]),
        ({"prefixItems": [{}], "items": UNIQUE}, [[1, 1], [2, 2]], ["$[1] has 2 twice"]),
        ({"items": [UNIQUE], "additionalItems": {}}, [[1, 1], [2, 2]], ["$[0] has 1 twice"]),
        ({"items": [{}], "additionalItems": UNIQUE}, [[1, 1], [2, 2]], ["$[1] has 2 twice"]),
        ({"additionalProperties": UNIQUE}, {"a": [3, 3]}, ["$.a has 3 twice"]),
        ({"patternProperties": {"^a": UNIQUE}}, {"ab": [3, 3], "b": [3, 3]}, ["$.ab has 3 twice"]),
        ({"allOf": [{}, {"allOf": [UNIQUE]}]}, [4, 4], ["$ has 4 twice"]),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": UNIQUE}}, [4, 4], ["$ has 4 twice"]),
        ({"$ref": "#/$defs/a%20b", "$defs": {"a b": UNIQUE}}, [4, 4], ["$ has 4 twice"]),
        (WITH_NAME, {"card": 1}, ["$ has 'card' without 'name'"]),
        (WITH_NAME, {"name": 1}, []),
    ],
)
def test_problem_has_its_place(schema, document, wrong):
    assert list(problems(document, schema, schema)) == wrong


@pytest.mark.parametrize(
    ("document", "is_wrong"),
    [
        ([1, True], False),
        ([0, False], False),
        ([[1], [True]], False),
        ([1, 1.0], True),
        ([{"a": [1]}, {"a": [1.0]}], True),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], True),
        (["1", 1], False),
        ([[], {}, None, "", 0], False),
    ],
)
def test_unique_items_compares_as_json_schema_does(document, is_wrong):
    assert bool(list(problems(document, UNIQUE, UNIQUE))) is is_wrong


LIST = {"type": "array"}
LONG = {**LIST, "minItems": 3}


@pytest.mark.parametrize("word", ["anyOf", "oneOf"])
@pytest.mark.parametrize(
    ("cases", "document", "is_wrong"),
    [
        ([UNIQUE, {"type": "null"}], [4, 4], True),
        ([UNIQUE, {"type": "null"}], None, False),
        ([UNIQUE, LONG], [4, 4], True),
        ([UNIQUE, LONG], [4, 4, 4], False),
        ([UNIQUE, LIST], [4, 4], False),
        ([{**UNIQUE, "items": {"type": "integer"}}, LIST], ["a", "a"], False),
        ([UNIQUE, {**LIST, "items": {"pattern": "^a"}}], ["a", "a"], True),  # it may follow either
    ],
)
def test_document_is_checked_by_an_alternative_that_it_follows(word, cases, document, is_wrong):
    schema = {word: cases}

    assert bool(list(problems(document, schema, schema))) is is_wrong
