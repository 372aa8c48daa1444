"""The grammars of schemas: patterns, numbers, older drafts, unique items."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from concordance_sdk.constraints import JsonSchema, allows, compile_constraint
from concordance_sdk.constraints.byte_grammar import failure_of
from concordance_sdk.constraints.validation import grammar_text
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ConstraintError
from document_writer import write
from real_tokenizers import tokenizer_of
from schema_differential import compare, random_schemas

#: A folder of public schemas, if there is one beside or above the project.
DATA = next(
    (
        folder / "shared" / "data" / "schemastore"
        for folder in Path(__file__).resolve().parents
        if (folder / "shared" / "data" / "schemastore").is_dir()
    ),
    None,
)


def text_of(value):
    return json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize(
    ("pattern", "found", "missing"),
    [
        ('^[^"]+$', ["a", "\\", "\n"], ['"', 'a"b']),
        (r"^[^\\]+$", ['"', "a"], ["\\"]),
        ('^[^<>:"/\\\\|?*]+$', ["a b", "é"], ['"', "\\", "/"]),
        (r"^a\x01b$", ["a\x01b"], ["ab", "a\x02b"]),
        (r"\x1b\[0m", ["x\x1b[0m"], ["[0m"]),
        (r"^\s$", [" ", "\t", "\n", "\xa0"], ["a", "\x1c"]),
        ("^.$", ["a", '"', "\\", "\x01", "😀"], ["\n", "\r", "\u2028"]),
        ("^[a&&b]$", ["a", "&"], ["c"]),
        ("^(?!with$).+$", ["without"], ["with"]),
        (r"^(?=.*[0-9])[a-z0-9]+$", ["a1"], ["ab"]),
        (r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$", ["1.5", "-0"], ["", "-", "+."]),
        (r"\b\d{3}\b", ["123", "a 123."], ["1234", "a123"]),
        ("^a|b$", ["ax", "xb"], ["xa"]),
        (r"^\p{Lu}\p{Ll}+$", ["Éa"], ["aa", "A"]),
        ("^(?<year>[0-9]{4})$", ["2024"], ["24"]),
        (r"^[\w.-]+$", ["a-b.c"], ["a b", "é"]),
        ("", ["", "x"], []),
        ("^[^]$", ["\n", '"'], ["", "ab"]),
    ],
)
def test_pattern_matches_the_decoded_characters(pattern, found, missing):
    schema = JsonSchema({"type": "string", "pattern": pattern})

    assert [text for text in found if not allows(schema, text_of(text))] == []
    assert [text for text in missing if allows(schema, text_of(text))] == []


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        ({"exclusiveMinimum": 0, "maximum": 0.5}, ["0.1", "0.5"], ["0", "0.0", "-0.1", "0.51"]),
        ({"minimum": 0, "exclusiveMinimum": True}, ["0.1", "1"], ["0", "0.0"]),
        ({"maximum": 1, "exclusiveMaximum": True}, ["0.9", "-5"], ["1", "1.0", "1.1"]),
        ({"exclusiveMaximum": 1}, ["0.9"], ["0.99999999999999999999", "1"]),
        ({"type": "number"}, ["1e10", "-1.5", "0"], ["1e400", "1e-400", "-0.0"]),
        ({"exclusiveMinimum": -1, "exclusiveMaximum": 1}, ["0", "-0.5"], ["-1", "1", "-1.0"]),
        ({"type": "integer", "exclusiveMinimum": 1.5}, ["2"], ["1"]),
        ({"minimum": -9223372036854775808, "type": "integer"}, ["-5"], []),
        ({"const": 9007199254740993}, ["9007199254740993"], ["9007199254740992"]),
        ({"not": {"const": 1.5}, "type": "number"}, ["1.4", "1.51"], ["1.5", "1.50"]),
        ({"type": "integer", "format": "int32"}, ["2147483647"], ["2147483648"]),
        ({"multipleOf": 0.05}, ["0.15", "3", "2.50"], ["0.14"]),
        ({"type": "integer", "multipleOf": 12}, ["24", "-12", "0"], ["6", "13"]),
    ],
)
def test_number_is_within_its_bounds_and_representable_as_a_double(schema, yes, no):
    schema = JsonSchema({"type": "number", **schema})

    assert [text for text in yes if not allows(schema, text)] == []
    assert [text for text in no if allows(schema, text)] == []


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        ({"properties": {"a": {"required": True}}, "type": "object"}, [{"a": 1}], [{}]),
        ({"disallow": "string"}, [1], ["a"]),
        ({"type": ["null", {"enum": [5]}]}, [None, 5], [6]),
        ({"extends": {"type": "integer"}, "divisibleBy": 3}, [3], [4, "a"]),
        ({"items": [{"type": "null"}], "additionalItems": False}, [[None], []], [[1], [None, 1]]),
        ({"dependencies": {"a": ["b"]}, "type": "object"}, [{"b": 1, "a": 2}, {}], [{"a": 1}]),
    ],
)
def test_keywords_of_older_drafts_are_enforced(schema, yes, no):
    schema = JsonSchema({"$schema": "http://json-schema.org/draft-03/schema#", **schema})

    assert [value for value in yes if not allows(schema, text_of(value))] == []
    assert [value for value in no if allows(schema, text_of(value))] == []


def test_keyword_unknown_to_a_draft_is_an_annotation():
    """`const` is an annotation in draft 4, so a document would match both cases of `oneOf`."""
    cases = {"oneOf": [{"const": "a"}, {"const": "b"}]}

    assert allows(JsonSchema(cases), '"a"')
    with pytest.raises(ConstraintError, match="no finite document"):
        JsonSchema({"$schema": "http://json-schema.org/draft-04/schema#", **cases})


@pytest.mark.parametrize("kind", ["bytes", "byte_level"])
@pytest.mark.parametrize(
    "items",
    [
        {"type": "string", "maxLength": 3},
        {"type": "number"},
        {"type": ["integer", "string"]},
        {"type": "array", "items": {"type": "integer"}},
        {"enum": ["a", "b", 1, None]},
    ],
)
def test_unique_items_differ(kind, items):
    tokenizer = tokenizer_of(kind)
    compiled = compile_constraint(
        JsonSchema({"type": "array", "uniqueItems": True, "items": items}), tokenizer
    )
    for seed in range(8):
        matcher = write(compiled.start(), tokenizer, random.Random(seed), free=60)
        if matcher.is_complete:
            value = matcher.value
            assert all(one != other for i, one in enumerate(value) for other in value[:i]), value


def test_array_may_have_fewer_items_than_prefix_items():
    schema = JsonSchema(
        {"type": "array", "prefixItems": [True, True, {"type": "string"}], "maxItems": 1}
    )

    assert allows(schema, "[1]")
    assert not allows(schema, "[1, 2]")


def test_unique_items_are_compared_by_value():
    schema = JsonSchema({"type": "array", "uniqueItems": True})

    assert allows(schema, '[1, 2, "1", true, [1], {"a": 1}]')
    assert not allows(schema, "[1, 1.0]")
    assert not allows(schema, '[{"a": 1, "b": 2}, {"b": 2, "a": 1}]')


def test_white_space_is_bounded():
    schema = JsonSchema({"type": "array", "items": {"type": "null"}}, any_space=True)

    assert allows(schema, "[\n  null,\n  null\n]")
    assert not allows(schema, "[" + " " * 20 + "null]")
    assert not allows(schema, "[\n\n\n\nnull]")


def test_grammar_that_fails_during_generation_is_rejected_in_advance():
    text = grammar_text(JsonSchema({"type": "string", "maxLength": 100}))

    assert failure_of(text) == ""


def test_failed_matcher_is_recompiled_and_does_not_affect_others():
    compiled = compile_constraint(JsonSchema({"type": "integer"}), ByteTokenizer())
    failed, other = compiled.start(), compiled.start()
    failed.extend(b"12")
    failed._matcher.consume_token(ord("x"))  # llguidance is in an error state from here on

    assert failed.mask() == _mask_after(compiled, b"12")
    failed.extend(b"3")
    other.extend(b"7")
    assert (failed.text, other.text, compiled.start().mask()) == ("123", "7", other_start(compiled))


def _mask_after(compiled, data):
    matcher = compiled.start()
    matcher.extend(data)
    return matcher.mask()


def other_start(compiled):
    return compiled.start().mask()


def test_random_schemas_allow_no_document_that_a_validator_rejects():
    dice, counts = random.Random(3), Counter()
    wrong = list(compare(random_schemas(dice, 60), dice, 2, counts))

    assert wrong == []
    assert counts["documents"] > 60


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="the public schemas are not on this machine")
def test_public_schemas_compile_and_no_invalid_document_is_allowed():
    compiled, total, wrong, refused = 0, 0, [], []
    for file in sorted((DATA / "schemas").glob("*.json")):
        total += 1
        try:
            constraint = JsonSchema(json.loads(file.read_text("utf-8")))
        except ConstraintError as exc:
            refused.append(exc.message)
            continue
        compiled += 1
        documents = (DATA / "negative" / file.stem).glob("*.json")
        wrong += [
            d for d in documents if allows(constraint, text_of(json.loads(d.read_text("utf-8"))))
        ]

    assert compiled >= 0.84 * total
    assert all("(at #" in message for message in refused)
    assert wrong == []
