"""Schemas at the limits: what is counted, nested, repeated or spelled beyond what is usual."""

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
from concordance_sdk.constraints.schema.net import problem_of
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
def test_limits_are_kept(schema, yes, no):
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
        ('{"minLength": 1e999}', "is no JSON"),
        ('{"minLength": NaN}', "is no JSON"),
        ({"properties": {f"p{i}": {} for i in range(3000)}}, "too many optional members"),
    ],
)
def test_what_is_beyond_them_is_refused(schema, why):
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
def test_a_pattern_that_cannot_be_tried_is_not_taken_for_one_without_texts(schema):
    with pytest.raises(ConstraintError, match="its automaton is too large"):
        JsonSchema(schema)


def test_patterns_that_are_too_large_together_are_not_taken_for_a_contradiction():
    both = {"allOf": [{"pattern": looks_ahead("abcd")}, {"pattern": looks_ahead("nopqrst")}]}
    with pytest.raises(ConstraintError, match="automaton"):
        JsonSchema({"type": "string", **both})


@pytest.mark.parametrize("word", ["unevaluatedProperties", "unevaluatedItems"])
def test_references_that_branch_at_every_step_are_bounded(word):
    defs = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(30)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**defs, "d30": {}}, word: False}
    with pytest.raises(ConstraintError, match=r"more than .* \(at #"):
        JsonSchema(schema)


def test_many_patterns_make_a_bounded_number_of_classes():
    patterns = {f"^{chr(97 + i)}": {} for i in range(26)}
    schema = JsonSchema({"patternProperties": patterns, "unevaluatedProperties": False})
    assert allows(schema, '{"abc": 1}')
    assert not allows(schema, '{"ABC": 1}')


def test_a_document_that_the_validator_cannot_read_is_not_judged():
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
def test_half_of_a_surrogate_pair_is_refused(make):
    with pytest.raises(ConstraintError, match="half of a surrogate pair"):
        make()


@pytest.mark.parametrize("separators", [(1, 2), (",",), "ab", None])
def test_separators_that_are_no_two_texts_are_refused(separators):
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
def test_what_is_counted_is_counted_as_far_as_it_matters(schema, yes, no):
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
def test_numbers_that_cannot_be_said_are_refused_by_their_keyword(schema, place):
    with pytest.raises(ConstraintError) as caught:
        JsonSchema(schema)
    assert f"(at {place})" in caught.value.message


@pytest.mark.parametrize("root", [{}, {"unevaluatedProperties": False}])
def test_a_document_is_judged_only_where_that_does_not_take_years(root):
    defs = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(60)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**defs, "d60": {"type": "object"}}, **root}
    assert problem_of(json.dumps(schema), "{}") is None


def test_a_document_is_not_judged_where_each_level_doubles_the_work():
    twice = {"allOf": [{"properties": {"a": {"$ref": "#"}}}] * 2}
    assert problem_of(json.dumps(twice), '{"a": ' * 60 + "1" + "}" * 60) is None


def test_a_recursive_schema_is_judged():
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
def test_items_differ_only_where_the_schema_says_so(schema, yes, no):
    assert allows(JsonSchema(schema), yes)
    assert not allows(JsonSchema(schema), no)


def test_an_array_of_repetitions_does_not_run_into_a_dead_end_beside_a_unique_one():
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
def test_no_item_is_begun_that_can_only_repeat_another(items):
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
def test_an_automaton_that_is_too_large_for_a_vocabulary_is_refused_when_it_is_compiled():
    words = JsonSchema({"type": "string", "maxLength": 400, "pattern": r"^(?:\S+\s+){0,99}\S+$"})
    with pytest.raises(ConstraintError, match=r"too large for this model's vocabulary .* \(at #\)"):
        compile_constraint(words, smollm())
    compile_constraint(JsonSchema({"type": "string", "maxLength": 400}), smollm())
