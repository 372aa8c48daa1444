"""Generates documents of random schemas and validates them with independent validators.

    uv run python tests/schema_differential.py --documents 100000 --seed 1

Prints each schema with a document that `jsonschema` (or `jsonschema_rs`, where it is installed)
rejects, and counts. `--schemas FOLDER` uses the schemas of a folder instead.
"""

import argparse
import json
import random
import sys
import warnings
from collections import Counter
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path

import jsonschema
from concordance_sdk.constraints import JsonSchema, compile_constraint
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ConstraintError
from document_writer import write

try:
    import jsonschema_rs
except ImportError:
    jsonschema_rs = None

TOKENIZER = ByteTokenizer()

_CLASSES = [
    r'[^"]', r"[^\\]", "[^<>:\"/\\\\|?*]", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", ".", "[a-c]",
    "[^a-z]",
    r"[\w-]", r"[\x00-\x1f]", r"\n", r"\t", r"\\", '"', "/", "é", "[a&&b]", r"[^\s\"]", r"\x41",
    r"\u00e9", "[]-]", r"[^\d\\]", r"\.", r"\/", "[!-/]", "[^ -~]",
]  # fmt: skip
_FORMATS = [
    "date", "time", "date-time", "email", "hostname", "ipv4", "ipv6", "uri", "uuid", "duration",
    "json-pointer", "regex", "uri-reference", "color", "byte",
]  # fmt: skip
_NAMES = ["a", "b", "ab", 'q"', "k\\", "", "é"]
_NUMBERS = [0, 1, -1, 2, 0.5, -0.5, 10, 99, 0.1, 1e-7, 1e6, 12345.678, -3.25, 2**53, 1e20, 0.3]
_TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]


def random_schema(dice, depth=2):
    """A schema of some keywords, with nested schemas."""
    kinds = [_any_type, _text, _number, _array, _object, _values, _format]
    if depth:
        kinds += [_combined, _combined, _conditional, _negated, _old_draft, _sized]
    schema = dice.choice(kinds)(dice, depth)
    if depth and dice.random() < 0.15:
        schema = {**schema, **dice.choice(kinds)(dice, depth)}
    return schema


def _inner(dice, depth):
    if not depth or dice.random() < 0.1:
        return dice.choice([True, {"type": dice.choice(_TYPES)}, {"$ref": "#/$defs/D"}])
    return random_schema(dice, depth - 1)


def _any_type(dice, depth):
    return {"type": dice.sample(_TYPES, dice.randint(1, 3))}


def _text(dice, depth):
    schema = {"type": "string"}
    if dice.random() < 0.7:
        schema["pattern"] = random_pattern(dice)
    if dice.random() < 0.4:
        schema["minLength"] = dice.randint(0, 4)
    if dice.random() < 0.4:
        schema["maxLength"] = dice.randint(0, 8)
    return schema


def random_pattern(dice):
    """An ECMA-262 pattern that Python and Rust interpret (almost) alike."""
    pieces = []
    for _ in range(dice.randint(1, 4)):
        piece = dice.choice(_CLASSES)
        if dice.random() < 0.2:
            piece = f"(?:{piece}|{dice.choice(_CLASSES)})"
        pieces.append(piece + dice.choice(["", "", "+", "*", "?", "{1,3}", "{2}"]))
    if dice.random() < 0.1:
        pieces.insert(0, dice.choice(["(?!a)", "(?=.b)", '(?!")']))
    return dice.choice(["^", "^", ""]) + "".join(pieces) + dice.choice(["$", "$", ""])


def _format(dice, depth):
    return {"type": "string", "format": dice.choice(_FORMATS)}


def _number(dice, depth):
    schema = {"type": dice.choice(["number", "integer"])}
    for word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if dice.random() < 0.35:
            schema[word] = dice.choice(_NUMBERS)
    if dice.random() < 0.25:
        schema["multipleOf"] = dice.choice([1, 2, 3, 7, 10, 0.5, 0.25, 20, 2.5, 12])
    if dice.random() < 0.15:
        schema["$schema"] = "http://json-schema.org/draft-04/schema#"
        schema["exclusiveMinimum"] = schema["exclusiveMaximum"] = True
        schema |= {"minimum": dice.choice(_NUMBERS[:8]), "maximum": dice.choice(_NUMBERS[3:])}
    return schema


def _array(dice, depth):
    schema = {"type": "array"}
    word = dice.choice(["items", "prefixItems", "both", "contains", "none"])
    if word in ("items", "both"):
        schema["items"] = _inner(dice, depth)
    if word in ("prefixItems", "both"):
        schema["prefixItems"] = [_inner(dice, depth) for _ in range(dice.randint(1, 3))]
    if word == "contains":
        schema["contains"] = _inner(dice, depth)
        if dice.random() < 0.3:
            schema["minContains"], schema["maxContains"] = dice.randint(0, 2), dice.randint(1, 3)
    if dice.random() < 0.4:
        schema["minItems"] = dice.randint(0, 3)
    if dice.random() < 0.4:
        schema["maxItems"] = dice.randint(1, 4)
    if dice.random() < 0.3:
        schema["uniqueItems"] = True
    return schema


def _object(dice, depth):
    names = dice.sample(_NAMES, dice.randint(0, 3))
    schema = {"type": "object", "properties": {name: _inner(dice, depth) for name in names}}
    if dice.random() < 0.5:
        schema["required"] = dice.sample(_NAMES, dice.randint(0, 2))
    if dice.random() < 0.5:
        schema["additionalProperties"] = dice.choice([False, _inner(dice, depth)])
    if dice.random() < 0.3:
        schema["patternProperties"] = {
            dice.choice(["^a", "b$", "^[a-c]+$", r"\W", "^.$"]): _inner(dice, depth)
            for _ in range(dice.randint(1, 2))
        }
    if dice.random() < 0.2:
        schema["propertyNames"] = dice.choice(
            [{"pattern": "^[a-z]*$"}, {"maxLength": 2}, {"enum": ["a", "b", "z"]}]
        )
    if dice.random() < 0.15:
        schema["dependentRequired"] = {dice.choice(_NAMES): dice.sample(_NAMES, 1)}
    if dice.random() < 0.15:
        schema["dependentSchemas"] = {dice.choice(_NAMES): _inner(dice, depth)}
    if dice.random() < 0.15:
        schema["unevaluatedProperties"] = False
    return schema


def _sized(dice, depth):
    schema = _object(dice, depth)
    schema["minProperties"], schema["maxProperties"] = dice.randint(0, 1), dice.randint(1, 3)
    return schema


def _values(dice, depth):
    some = [None, True, 1, 1.5, "a", 'q"\\', "\x01", "", [], [1, "x"], {"a": 1}, {}, -2, 1e10]
    return {"enum": dice.sample(some, dice.randint(1, 4))}


def _combined(dice, depth):
    word = dice.choice(["anyOf", "oneOf", "allOf"])
    return {word: [_inner(dice, depth) for _ in range(dice.randint(1, 3))]}


def _conditional(dice, depth):
    words = dice.sample(["then", "else"], dice.randint(1, 2))
    return {"if": _inner(dice, depth), **{word: _inner(dice, depth) for word in words}}


def _negated(dice, depth):
    return {"not": _inner(dice, depth), "type": dice.choice(_TYPES)}


def _old_draft(dice, depth):
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "items": [_inner(dice, depth), {"type": "integer"}],
        "additionalItems": dice.choice([False, {"type": "string"}]),
        "dependencies": {"a": ["b"], "b": _inner(dice, depth)},
        "type": ["array", "object"],
    }


@cache
def _validator(text):
    """The `jsonschema` validator of a schema, with formats, for the draft that it names."""
    schema = json.loads(text)
    default = jsonschema.Draft202012Validator
    kind = jsonschema.validators.validator_for(schema, default=default)
    exact = json.loads(text, parse_float=Decimal) if "multipleOf" in text else schema
    return kind(exact, format_checker=kind.FORMAT_CHECKER)


@cache
def _second_validator(text):
    if jsonschema_rs is None or "multipleOf" in text:
        return None
    try:
        return jsonschema_rs.validator_for(json.loads(text), validate_formats=True)
    except Exception:
        return None  # a pattern or draft is not supported


def verdict(text, document):
    """Return why a validator rejects a document; `None` if none does."""
    exact = Decimal if "multipleOf" in text else float
    value = json.loads(document, parse_float=exact)
    try:
        with localcontext(prec=200), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's `re`, for ECMA-262 patterns
            error = next(_validator(text).iter_errors(value), None)
    except Exception:  # an unsupported pattern or reference, or a bug of the validator
        error = None
    if error is not None:
        return f"jsonschema: {error.validator} at {error.json_path}"
    second = _second_validator(text)
    if second is not None and not second.is_valid(json.loads(document)):
        found = str(next(iter(second.iter_errors(json.loads(document))))).splitlines()
        return f"jsonschema_rs: {found[0]}"
    return None


def documents_of(schema, dice, count, *, free=50, most=1500):
    """Yield documents of a schema; for an unfinished one, `None` and the reason.

    Raises:
        ConstraintError: The schema cannot be enforced.
    """
    compiled = compile_constraint(JsonSchema(schema), TOKENIZER)
    for _ in range(count):
        matcher = compiled.start()
        try:
            write(matcher, TOKENIZER, dice, free=free, most=most)
        except ConstraintError as exc:
            yield None, exc.message
            continue
        yield (matcher.text, "") if matcher.is_complete else (None, "unfinished")


def compare(schemas, dice, per_schema, counts, most=10**9):
    """Validate documents of schemas; yield those that are rejected, with the reason."""
    for name, schema in schemas:
        if counts["documents"] >= most:
            return
        text = json.dumps(schema)
        try:
            for document, why in documents_of(schema, dice, per_schema):
                if document is None:
                    counts["unfinished" if why == "unfinished" else "failed"] += 1
                    if why != "unfinished":
                        counts[f"failed: {why[-160:]}"] += 1
                    continue
                counts["documents"] += 1
                if reason := verdict(text, document):
                    counts["invalid"] += 1
                    yield name, text, document, reason
            counts["compiled"] += 1
        except ConstraintError as exc:
            counts["rejected"] += 1
            counts["rejected: " + exc.message.rpartition("enforced: ")[2][:60]] += 1


def random_schemas(dice, count):
    """Yield random schemas, with a definition that they may reference."""
    for number in range(count):
        schema = random_schema(dice)
        definition = random_schema(dice, 1)
        schema = {**schema, "$defs": {"D": definition}}
        if json.dumps(schema).count("$schema") == ("$schema" in schema):  # one draft for all
            yield number, schema


def main():
    """Validate many documents and print the differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--per-schema", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schemas", type=Path, help="a folder of schemas")
    given = parser.parse_args()
    dice, counts = random.Random(given.seed), Counter()
    schemas = random_schemas(dice, 10**9)
    if given.schemas:
        files = sorted(given.schemas.glob("*.json"))
        schemas = ((file.name, json.loads(file.read_text("utf-8"))) for file in files)
    for name, text, document, reason in compare(
        schemas, dice, given.per_schema, counts, given.documents
    ):
        print(
            f"{name}: {reason}\n  schema   {text[:1000]}\n  document {document[:300]!r}", flush=True
        )
    for what, count in counts.most_common(60):
        print(f"{count:8} {what}")
    return 1 if counts["invalid"] else 0


if __name__ == "__main__":
    sys.exit(main())
