"""The checks agree with the package `jsonschema`, over many small schemas and documents."""

from random import Random

import pytest
from checks import problems, without_checked

Validator = pytest.importorskip("jsonschema").Draft202012Validator

SET = {"type": "array", "uniqueItems": True}
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]
NAMES = ["a", "b", "ab"]


@pytest.mark.parametrize("seed", range(10))
def test_exactly_the_invalid_documents_have_problems(seed):
    chance, num_wrong = Random(seed), 0
    for _ in range(100):
        schema = {**some_schema(chance, 2), "$defs": {"Set": SET}}
        written, valid = Validator(without_checked(schema)), Validator(schema)
        for document in filter(written.is_valid, [some_document(chance, 2) for _ in range(20)]):
            is_wrong = bool(list(problems(document, schema, schema)))
            num_wrong += is_wrong
            assert is_wrong is not valid.is_valid(document), (schema, document)

    assert num_wrong > 0


def some_document(chance, depth):
    """A document of few different values, so that some repeat."""
    kind = chance.choice(["value", "list", "list", "object"]) if depth else "value"
    if kind == "value":
        return chance.choice([False, 1, 1.0, None, "a"])
    inner = [some_document(chance, depth - 1) for _ in range(chance.randint(0, 3))]
    return inner if kind == "list" else dict(zip(NAMES, inner, strict=False))


def some_schema(chance, depth):
    """A schema of keywords that a grammar enforces exactly and of checked keywords."""
    words = {
        "type": lambda: chance.sample(TYPES, 2),
        "const": lambda: some_document(chance, 1),
        "minItems": lambda: 2,
        "required": lambda: ["a"],
        "uniqueItems": lambda: True,
        "dependentRequired": lambda: {"a": ["ab"]},
        "$ref": lambda: "#/$defs/Set",
    }
    return {word: make() for word, make in chance.sample([*words.items()], 2)} | (
        some_larger(chance, depth - 1) if depth else {}
    )


def some_larger(chance, depth):
    """A keyword that contains schemas, with some in it."""
    inner = [some_schema(chance, depth) for _ in range(2)]
    word = chance.choice(["anyOf", "allOf", "prefixItems", "items", "properties", "patterns"])
    if word == "properties":
        return {word: dict(zip(NAMES, inner, strict=False)), "additionalProperties": inner[1]}
    if word == "patterns":
        return {"patternProperties": {"^a": inner[0]}, "additionalProperties": inner[1]}
    return {word: inner[0] if word == "items" else inner}
