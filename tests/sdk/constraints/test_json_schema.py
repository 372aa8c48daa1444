"""`JsonSchema`: what is enforced, and what is rejected."""

import json

import pytest
from concordance_sdk.constraints import JsonSchema, allows, compile_constraint
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ConstraintError
from schemas import suite

#: Known deviations: formats beyond the calendar, and a character that only JavaScript treats as
#: white space.
NOT_ASKED = ("optional/format/", "optional/ecmascript-regex")


def enforced():
    """The suite's groups whose schema is accepted, with their constraint."""
    for group in suite():
        try:
            yield group, JsonSchema(group["schema"], separators=(",", ":"))
        except ConstraintError:
            continue


def test_no_invalid_document_of_the_suite_is_allowed():
    wrong = []
    checked = 0
    for group, constraint in enforced():
        if group["file"].startswith(NOT_ASKED[1]):
            continue
        for document, is_valid in group["tests"]:
            text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
            checked += 1
            if not is_valid and allows(constraint, text):
                wrong.append((group["file"], group["description"], text))

    assert checked > 900
    assert wrong == []


def test_most_valid_documents_of_the_suite_are_allowed():
    """Not all: keys are in the schema's order, and numbers in their canonical form."""
    valid = [
        allows(constraint, json.dumps(document, ensure_ascii=False, separators=(",", ":")))
        for group, constraint in enforced()
        if not group["file"].startswith(NOT_ASKED)
        for document, is_valid in group["tests"]
        if is_valid
    ]

    assert sum(valid) / len(valid) > 0.88


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"minProperties": 3}, ["'minProperties' 3", "'required'", "(at #/minProperties)"]),
        (
            {"items": {"type": ["null", "int"]}},
            ["'int' is not a type", "integer", "(at #/items/type)"],
        ),
        ({"items": {"minLength": -1}}, ["'minLength'", "(at #/items/minLength)"]),
        ({"maxItems": "3"}, ["'maxItems'", "whole number", "(at #/maxItems)"]),
        ({"required": "a"}, ["'required' is a list of names", "(at #/required)"]),
        ({"properties": {"a/b": 3}}, ["3 (at #/properties/a~1b) is not a schema"]),
        ({"allOf": []}, ["'allOf' is a list of schemas", "(at #/allOf)"]),
        ({"enum": "a"}, ["'enum' is a list of values", "(at #/enum)"]),
        ({"items": {"pattern": "(?<=a)b"}}, ["look-behind", "(at #/items/pattern)"]),
        ({"pattern": r"(a)\1"}, ["reference to a group", "(at #/pattern)"]),
        ({"pattern": r"\Aa"}, [r"'\A' is not of ECMA-262", "(at #/pattern)"]),
        ({"pattern": "(?x) a"}, ["'(?x)' is not of ECMA-262", "(at #/pattern)"]),
        ({"pattern": "(?i)a"}, ["'(?i)' is not of ECMA-262", "(at #/pattern)"]),
        ({"pattern": "[[:alpha:]]"}, ["[[:alpha:]]", "(at #/pattern)"]),
        ({"pattern": "a{,3}"}, ["'{0,n}'", "(at #/pattern)"]),
        ({"pattern": "a++"}, ["quantifier follows a quantifier", "(at #/pattern)"]),
        ({"pattern": "(?:a(?!b))*"}, ["in a repetition", "(at #/pattern)"]),
        ({"pattern": r"\p{Nonsense}"}, ["no property", "(at #/pattern)"]),
        (
            {"anyOf": [{"patternProperties": {"(": {}}}]},
            ["'patternProperties' '('", "(at #/anyOf/0/patternProperties/()"],
        ),
        (
            {"items": {"$ref": "#/$defs/no"}},
            ["'#/$defs/no' points to nothing", "(at #/items/$ref)"],
        ),
        ({"allOf": [{"$ref": "#no"}]}, ["'#no' points to nothing", "(at #/allOf/0/$ref)"]),
        ({"$ref": "http://example.org/a"}, ["'http://example.org/a'", "$defs", "(at #/$ref)"]),
        ({"$schema": "http://example.org/s", "$ref": "b.json"}, ["'b.json'", "(at #/$ref)"]),
        ({"$dynamicRef": "#a"}, ["'$dynamicRef'", "(at #/$dynamicRef)"]),
        ({"$recursiveRef": "#"}, ["'$recursiveRef'", "use '$ref'", "(at #/$recursiveRef)"]),
        ({"items": {"multipleOf": 499979}}, ["'multipleOf' 499979", "(at #/items/multipleOf)"]),
        ({"multipleOf": 0}, ["'multipleOf' is above 0", "(at #/multipleOf)"]),
        ({"minimum": "1"}, ["'minimum' is a number", "(at #/minimum)"]),
        (
            {
                "items": {
                    "type": "object",
                    "required": ["a"],
                    "properties": {"a": {"$ref": "#/items"}},
                },
                "minItems": 1,
                "type": "array",
            },
            ["no finite document", "(at #/items"],
        ),
        (
            {"type": "string", "maxLength": 1000, "pattern": "^(?:\\S+\\s+){0,99}\\S+$"},
            ["automaton is too large", "'maxLength'", "(at #)"],
        ),
    ],
)
def test_unsupported_keyword_is_rejected_by_name_and_location(schema, named):
    with pytest.raises(ConstraintError) as caught:
        JsonSchema(schema)

    for words in ("JsonSchema", *named):
        assert words in caught.value.message


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "uniqueItems": False},
        {"minProperties": 2, "required": ["a", "b"], "properties": {"a": {}, "b": {}}},
        {"title": "T", "description": "D", "default": 1, "examples": [{"not": "a schema"}]},
        {"properties": {"not": {"type": "null"}, "if": {"const": 1}}},
        {"const": {"not": 1}},
        {"made-up": True, "tsType": "x", "_format": 1, "requires": ["a"], "types": [], "form": {}},
        {"items": {"format": "color"}},
        True,
        '{"type": "null"}',
    ],
)
def test_schema_with_only_annotations_is_accepted(schema):
    assert JsonSchema(schema)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{", "not JSON"),
        (3, "not 3"),
        (False, "no document"),
        ({"type": "nonsense"}, "nonsense"),
        ({"type": "string", "enum": [1]}, "cannot be enforced"),
        ({"required": [{}]}, "cannot be enforced"),
        ({"format": "date", "pattern": "^2", "allOf": 3}, "'allOf'"),
        ({"const": float("nan")}, "not JSON"),
        ({"const": {1}}, "not JSON"),
        ({"minimum": 5, "maximum": 4, "type": "integer"}, "cannot be enforced"),
        ({"const": 1, "allOf": [{"const": 2}]}, "cannot be enforced"),
    ],
)
def test_schema_without_documents_is_rejected(schema, words):
    with pytest.raises(ConstraintError, match=words):
        JsonSchema(schema)


PAIR = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "array"}},
    "required": ["a", "b"],
}


@pytest.mark.parametrize(
    ("options", "yes", "no"),
    [
        ({}, '{"a": 1, "b": [1, 2]}', '{"a":1,"b":[1,2]}'),
        ({"separators": (",", ":")}, '{"a":1,"b":[1,2]}', '{"a": 1, "b": [1, 2]}'),
        ({"any_space": True}, '{ "a":1,\n "b" : [1, 2]}', '{"a" 1}'),
        ({"separators": (",\n", ": ")}, '{"a": 1,\n"b": [1,\n2]}', '{"a": 1, "b": []}'),
    ],
)
def test_white_space_follows_the_options(options, yes, no):
    constraint = JsonSchema(PAIR, **options)

    assert allows(constraint, yes)
    assert not allows(constraint, no)


def test_schema_cannot_require_what_it_ignores():
    three = JsonSchema({"type": "integer", "not": {"const": 3}, "x-guidance": {"lenient": True}})

    assert not allows(three, "3")
    assert allows(three, "4")


def test_invalid_separators_are_rejected():
    with pytest.raises(ConstraintError, match="white space around"):
        JsonSchema(PAIR, separators=(";", ":"))


@pytest.mark.parametrize(
    ("text", "is_date"),
    [
        ("2024-02-29", True),
        ("2023-02-29", False),
        ("2000-02-29", True),
        ("1900-02-29", False),
        ("2024-04-31", False),
        ("2024-12-31", True),
        ("2024-00-10", False),
    ],
)
def test_date_is_a_calendar_date(text, is_date):
    assert allows(JsonSchema({"type": "string", "format": "date"}), f'"{text}"') == is_date


def test_format_and_pattern_are_both_enforced():
    schema = {"type": "string", "format": "date", "pattern": "^20", "allOf": [{"minLength": 1}]}

    assert allows(JsonSchema(schema), '"2024-01-01"')
    assert not allows(JsonSchema(schema), '"1999-01-01"')
    assert not allows(JsonSchema(schema), '"20"')


REFERRED = {"components": {"schemas": {"~a/b c": {"type": "string", "format": "date"}}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/components/schemas/~0a~1b%20c", **REFERRED},
        {"$ref": "#/$defs/inner", "$defs": {"inner": {"$id": "inner.json", **REFERRED}}},
        {"$ref": "#/x/0", "x": [{"$ref": "#/x/1/y"}, {"y": {"type": "string", "format": "date"}}]},
    ],
)
def test_target_of_a_reference_is_enforced_at_any_location(schema):
    if "$defs" in schema:
        schema["$defs"]["inner"]["$ref"] = "#/components/schemas/~0a~1b%20c"

    assert allows(JsonSchema(schema), '"2024-02-29"')
    assert not allows(JsonSchema(schema), '"2023-02-29"')


@pytest.mark.parametrize(
    "inner", [{"minProperties": 3}, {"type": "int"}, {"pattern": "("}, {"multipleOf": 499979}]
)
def test_unsupported_target_of_a_reference_is_rejected_at_any_location(inner):
    with pytest.raises(ConstraintError, match=r"\(at #/components/D"):
        JsonSchema({"items": {"$ref": "#/components/D"}, "components": {"D": inner}})


def test_reference_points_into_a_schema_with_an_id():
    schema = {"$id": "http://example.org/s", "$defs": {"D": {"const": 1}}, "x": {"const": 2}}

    assert allows(JsonSchema({**schema, "$ref": "http://example.org/s#/$defs/D"}), "1")
    assert allows(JsonSchema({**schema, "$ref": "http://example.org/s#/x"}), "2")
    assert not allows(JsonSchema({**schema, "$ref": "http://example.org/s#/x"}), "1")


def test_recursive_schema_is_accepted():
    nested = {"type": "array", "items": {"$ref": "#"}}
    tree = JsonSchema({"type": "array", "items": {"$ref": "#/of/nested"}, "of": {"nested": nested}})

    assert allows(tree, "[[[], [[]]]]")
    assert not allows(tree, "[[1]]")


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"properties": {"a": {"type": "integer"}}}, r'{"a": 1, "\u0061": "x"}'),
        ({"properties": {"é": {"type": "integer"}}}, r'{"é": 1, "\u00e9": "x"}'),
        ({"properties": {"\n": {"type": "integer"}}}, r'{"\n": 1, "\u000a": "x"}'),
        ({"patternProperties": {"^a": {"type": "integer"}}}, r'{"\u0061": "x"}'),
    ],
)
@pytest.mark.parametrize("any_space", [False, True])
def test_escaped_spelling_of_a_key_does_not_evade_its_schema(schema, text, any_space):
    assert not allows(JsonSchema({"type": "object", **schema}, any_space=any_space), text)


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb\tc\rd\fe\bf", "a/b", "é€😀\u2028"])
def test_strings_are_written_without_unicode_escapes(text):
    written = json.dumps(text, ensure_ascii=False)

    assert allows(JsonSchema({"type": "string"}), written)
    assert allows(JsonSchema({"const": {text: text}}), f"{{{written}: {written}}}")


@pytest.mark.parametrize("text", ["a\x00b", "\x1f", "\x7f"])
def test_control_character_has_one_spelling(text):
    written = json.dumps(text, ensure_ascii=False)

    assert allows(JsonSchema({"const": text}), written)
    assert allows(JsonSchema({"properties": {text: {"const": 1}}}), f"{{{written}: 1}}")
    assert not allows(JsonSchema({"properties": {text: {"const": 1}}}), f"{{{written}: 2}}")


def test_integers_below_2_to_the_53_are_exact():
    largest = 2**53 - 1

    assert allows(JsonSchema({"const": largest}), str(largest))
    assert not allows(JsonSchema({"const": largest}), str(largest - 1))
    assert not allows(JsonSchema({"type": "integer", "minimum": largest}), str(largest - 1))


def test_multiple_of_uses_decimal_arithmetic():
    """0.29 is 29 times 0.01, but the quotient of the nearest floats is not 29."""
    cents = JsonSchema({"type": "number", "multipleOf": 0.01})

    assert allows(cents, "0.29")
    assert not allows(cents, "0.295")


def test_property_named_format_is_not_a_format():
    schema = {"properties": {"format": {"type": "string"}}, "required": ["format"]}

    assert allows(JsonSchema({**schema, "type": "object"}), '{"format": "date"}')


def test_value_is_the_document():
    constraint = JsonSchema(PAIR)

    assert constraint.value('{"a": 1, "b": [null]}') == {"a": 1, "b": [None]}
    assert constraint.answer('{"a": 1, "b": []}') == '{"a": 1, "b": []}'


def test_schema_argument_is_not_modified():
    schema = {"type": "string", "format": "date"}
    compile_constraint(JsonSchema(schema), ByteTokenizer())

    assert schema == {"type": "string", "format": "date"}
