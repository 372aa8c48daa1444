"""Schemas at the limits: large counts, deep nesting, repetition, unusual spellings."""

import json
import random

import pytest
from concordance_sdk.constraints import (
    JsonSchema,
    Regex,
    UntilEndType,
    UntilStrat,
    allows,
    compile_constraint,
)
from concordance_sdk.constraints.schema.validator import problem_of
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ConstraintError
from vocabularies import smollm


def looks_ahead(letters):
    """A pattern of texts with all of some letters."""
    return f"^{''.join(f'(?=.*{letter})' for letter in letters)}.*$"


SIXTEEN = looks_ahead("abcdefghijklmnop")


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        (
            {"items": {"type": "integer"}, "contains": {"const": 1}, "minContains": 2},
            "[1, 1, 5]",
            "[1, 5]",
        ),
        (
            {"allOf": [{"contains": {"const": 1}, "minContains": n} for n in (1, 3)]},
            "[1, 1, 1, 1]",
            "[1, 1]",
        ),
        (
            {"type": "number", "exclusiveMinimum": 1e20},
            "100000000000001000000",
            "1" + "0" * 19 + "1",
        ),
        ({"type": "string", "pattern": "^[^\\ud800-\\udfff]+$"}, '"😀a"', '""'),
        ({"type": "string", "pattern": "^[\\u0100-\\uffff]$"}, '"中"', '"a"'),
        ({"type": "string", "minLength": 1, "maxLength": 10**18}, '"a"', '""'),
        (
            {"properties": {"\ud800": {}}, "patternProperties": {"a": {"const": 1}}},
            "{}",
            '{"a": 2}',
        ),
        ({"enum": ["\ud800", "b"]}, '"b"', '"\ud800"'),
        ({"type": "array", "prefixItems": [{"type": "null"}] * 60}, "[null]", "[1]"),
    ],
)
def test_limits_are_enforced(schema, yes, no):
    assert allows(JsonSchema(schema), yes)
    assert not allows(JsonSchema(schema), no)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "array", "contains": {}, "minContains": 10**9}, "(at #/minContains)"),
        ({"minItems": 10**18}, "(at #/minItems)"),
        ({"minimum": True}, "(at #/minimum)"),
        ({"multipleOf": True}, "(at #/multipleOf)"),
        ({"uniqueItems": "true"}, "(at #/uniqueItems)"),
        ({"pattern": "^[^]]+$"}, "begins with ']'"),
        ({"pattern": "[]a]"}, "(at #/pattern)"),
        ('{"minLength": 1e999}', "is not JSON"),
        ('{"minLength": NaN}', "is not JSON"),
        ({"properties": {f"p{i}": {} for i in range(3000)}}, "too many optional members"),
    ],
)
def test_invalid_limits_are_rejected(schema, why):
    with pytest.raises(ConstraintError) as caught:
        JsonSchema(schema)
    assert why in caught.value.message


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"pattern": "^[a-p]+$"}, {"pattern": SIXTEEN}]},
        {"not": {"pattern": SIXTEEN}},
        {"properties": {"abcdefghijklmnop": {}}, "patternProperties": {SIXTEEN: {"const": 1}}},
    ],
)
def test_too_large_pattern_is_not_reported_as_unsatisfiable(schema):
    with pytest.raises(ConstraintError, match="its automaton is too large"):
        JsonSchema(schema)


def test_patterns_too_large_in_combination_are_not_reported_as_contradiction():
    both = {"allOf": [{"pattern": looks_ahead("abcd")}, {"pattern": looks_ahead("nopqrst")}]}
    with pytest.raises(ConstraintError, match="automaton"):
        JsonSchema({"type": "string", **both})


@pytest.mark.parametrize(
    "word",
    ["unevaluatedProperties", pytest.param("unevaluatedItems", marks=pytest.mark.slow)],
)
def test_branching_references_are_bounded(word):
    defs = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(30)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**defs, "d30": {}}, word: False}
    with pytest.raises(ConstraintError, match=r"more than .* \(at #"):
        JsonSchema(schema)


def test_number_of_classes_of_many_patterns_is_bounded():
    patterns = {f"^{chr(97 + i)}": {} for i in range(26)}
    schema = JsonSchema({"patternProperties": patterns, "unevaluatedProperties": False})
    assert allows(schema, '{"abc": 1}')
    assert not allows(schema, '{"ABC": 1}')


def test_document_that_the_validator_cannot_parse_is_not_validated():
    assert problem_of('{"type": "array"}', "[" * 3000 + "]" * 3000) is None
    assert problem_of('{"type": "integer"}', "1" + "0" * 400) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Regex("\ud800"),
        lambda: allows(UntilStrat(end_type=UntilEndType.ANYCHAR, end="\ud800"), "a"),
        lambda: allows(UntilStrat("\ud800"), "a"),
    ],
)
def test_half_of_a_surrogate_pair_is_rejected(make):
    with pytest.raises(ConstraintError, match="half of a surrogate pair"):
        make()


@pytest.mark.parametrize("separators", [(1, 2), (",",), "ab", None])
def test_separators_other_than_two_strings_are_rejected(separators):
    with pytest.raises(ConstraintError, match="separators"):
        JsonSchema(separators=separators)


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        ({"type": "object", "maxProperties": 10**6, "minProperties": 1}, '{"a": 1}', "{}"),
        ({"type": "object", "maxProperties": 2}, '{"a": 1, "b": 2}', '{"a": 1, "b": 2, "c": 3}'),
        (
            {"properties": {"a": {}, "b": {}}, "maxProperties": 3},
            '{"a": 1, "b": 2, "c": 3}',
            '{"a": 1, "c": 3, "d": 4, "e": 5}',
        ),
        (
            {"items": {"enum": list(range(100))}, "uniqueItems": True, "maxItems": 60},
            "[7, 5]",
            "[7, 7]",
        ),
        ({"type": "number", "multipleOf": 0.3}, "0.6", "0.5"),
    ],
)
def test_large_counts_and_many_keys_are_enforced(schema, yes, no):
    assert allows(JsonSchema(schema), yes)
    assert not allows(JsonSchema(schema), no)


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "integer", "minimum": 10**399}, "#/minimum"),
        ({"properties": {"a": {"const": -(10**400)}}}, "#/properties/a/const"),
        ({"properties": {"a": {"multipleOf": 0.07}}}, "#/properties/a/multipleOf"),
    ],
)
def test_unrepresentable_numbers_are_rejected_by_keyword(schema, place):
    with pytest.raises(ConstraintError) as caught:
        JsonSchema(schema)
    assert f"(at {place})" in caught.value.message


@pytest.mark.parametrize("root", [{}, {"unevaluatedProperties": False}])
def test_document_is_not_validated_if_that_takes_too_long(root):
    defs = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(60)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**defs, "d60": {"type": "object"}}, **root}
    assert problem_of(json.dumps(schema), "{}") is None


def test_document_is_not_validated_if_each_level_doubles_the_work():
    twice = {"allOf": [{"properties": {"a": {"$ref": "#"}}}] * 2}
    assert problem_of(json.dumps(twice), '{"a": ' * 60 + "1" + "}" * 60) is None


def test_document_of_a_recursive_schema_is_validated():
    tree = {"properties": {"a": {"$ref": "#"}}, "additionalProperties": False}
    assert problem_of(json.dumps(tree), '{"a": {"a": {"b": 1}}}')


TWICE = {"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 2}
DIFFERENT = {"type": "array", "uniqueItems": True}


def holding(**properties):
    return {"type": "object", "properties": properties, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        (
            holding(a=holding(tags=DIFFERENT), b=holding(tags=TWICE)),
            '{"a": {"tags": [1, 2]}, "b": {"tags": [1, 1]}}',
            '{"a": {"tags": [1, 1]}}',
        ),
        (
            {"properties": {"m": TWICE}, "additionalProperties": DIFFERENT},
            '{"m": [1, 1], "n": [1, 2]}',
            '{"m": [1, 1], "n": [1, 1]}',
        ),
        (
            {"prefixItems": [TWICE, TWICE], "uniqueItems": True, "type": "array", "maxItems": 1},
            "[[1, 1]]",
            "[[1, 2]]",
        ),
        (
            {"type": "array", "items": {"type": "array", "items": DIFFERENT}},
            "[[[1], [1]], [[1], [1]]]",
            "[[[1], [1, 1]]]",
        ),
        (
            {**holding(x=DIFFERENT, y=TWICE, z={"$ref": "#"})},
            '{"x": [1], "y": [1, 1], "z": {"x": [1], "z": {"x": [2, 1], "y": [1, 1]}}}',
            '{"z": {"z": {"x": [2, 2]}}}',
        ),
        (
            {"patternProperties": {"^u": DIFFERENT, "^t": TWICE}, "additionalProperties": False},
            '{"u1": [1, 2], "uu": [1, 2]}',
            '{"u1": [1, 1]}',
        ),
    ],
)
def test_items_differ_only_where_unique_items_applies(schema, yes, no):
    assert allows(JsonSchema(schema), yes)
    assert not allows(JsonSchema(schema), no)


def test_array_of_equal_items_beside_a_unique_one_has_no_dead_end():
    schema = {**holding(a=holding(t=DIFFERENT), t=TWICE), "required": ["t"], "maxProperties": 1}
    matcher = compile_constraint(JsonSchema(schema), ByteTokenizer()).start()
    while not matcher.is_complete:
        matcher.extend(matcher.forced())
    assert matcher.text == '{"t": [1, 1]}'


@pytest.mark.parametrize(
    "items",
    [
        {"enum": [f"v{i}" for i in range(300)]},
        {"type": "string", "pattern": "^[A-C]{2}$"},
        {"type": "integer", "minimum": 1000, "maximum": 1400},
        {"type": "string", "pattern": "^200[0-9]-0[12]-0[1-5]$"},
    ],
)
def test_item_that_can_only_repeat_another_is_not_begun(items):
    schema = JsonSchema({"type": "array", "uniqueItems": True, "items": items, "minItems": 9})
    compiled = compile_constraint(schema, ByteTokenizer())
    for seed in range(4):
        matcher, dice = compiled.start(), random.Random(seed)
        while not matcher.is_complete and matcher.num_tokens < 400:
            allowed = [i for i in range(256) if matcher.mask()[i // 8] >> i % 8 & 1]
            matcher.extend([dice.choice([i for i in allowed if i == ord("]")] or allowed)])
        written = json.loads(matcher.text)
        assert len(set(written)) == len(written) == 9


@pytest.mark.model
def test_automaton_too_large_for_a_vocabulary_is_rejected_when_compiled():
    words = JsonSchema({"type": "string", "maxLength": 400, "pattern": r"^(?:\S+\s+){0,99}\S+$"})
    with pytest.raises(ConstraintError, match=r"too large for this model's vocabulary .* \(at #\)"):
        compile_constraint(words, smollm())
    compile_constraint(JsonSchema({"type": "string", "maxLength": 400}), smollm())
