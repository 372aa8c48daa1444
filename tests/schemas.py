"""JSON schemas: those of the public test suite, and examples of common kinds."""

import json
from functools import cache
from pathlib import Path

SUITE = Path(__file__).parent / "data" / "json_schema_test_suite" / "draft2020-12.jsonl"


@cache
def suite():
    """The groups of the test suite: file, description, schema, and documents with verdicts."""
    return tuple(json.loads(line) for line in SUITE.read_text("utf-8").splitlines())


def obj(**properties):
    """An object with exactly these properties; those that end with `_` are optional."""
    names = {name.removesuffix("_"): schema for name, schema in properties.items()}
    required = [name for name in properties if not name.endswith("_")]
    return {
        "type": "object",
        "properties": names,
        "required": required,
        "additionalProperties": False,
    }


def array(items, least=0, most=3):
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def text(most=12, **more):
    return {"type": "string", "maxLength": most, **more}


INT = {"type": "integer", "minimum": -99, "maximum": 999}
FLAG = {"type": "boolean"}
MONEY = {"type": "number", "minimum": 0, "exclusiveMaximum": 1000, "multipleOf": 0.5}
CODE = {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"}
TREE = {"type": "object", "properties": {"label": text(5), "left": {}, "right": {}}}

WRITTEN = {
    "person": obj(name=text(), age=INT, email={"type": "string", "format": "email"}),
    "order": obj(id=CODE, items=array(obj(sku=CODE, count=INT), 1, 3), total=MONEY),
    "address": obj(street=text(), city=text(), zip={"type": "string", "pattern": "^[0-9]{5}$"}),
    "sentiment": {"enum": ["positive", "negative", "neutral"]},
    "verdict": obj(verdict={"enum": ["yes", "no", None]}, confidence={"enum": [0.1, 0.5, 0.9]}),
    "flag": FLAG,
    "nothing": {"type": "null"},
    "constant": {"const": {"a": [1, "two", None, {"b": False}]}},
    "integer": {"type": "integer", "minimum": 0, "maximum": 10},
    "open integer": {"type": "integer", "exclusiveMinimum": 41},
    "negative": {"type": "integer", "maximum": -1, "minimum": -1000},
    "even": {"type": "integer", "multipleOf": 2, "minimum": 0, "maximum": 5000},
    "thirds": {"type": "integer", "multipleOf": 3},
    "money": MONEY,
    "between": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "any number": {"type": "number"},
    "short text": text(3),
    "long text": text(200, minLength=150),
    "exact text": text(8, minLength=8),
    "pattern": {"type": "string", "pattern": "^(foo|bar)+[0-9]{2,4}$"},
    "unanchored": {"type": "string", "pattern": "[0-9]", "maxLength": 6},
    "pattern and length": {"type": "string", "pattern": "^a*b*$", "minLength": 3, "maxLength": 6},
    "hex": {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"},
    "unicode": {"enum": ["é", "日本", "😀", "a\u0000b", '"quoted"', "back\\slash", "a/b"]},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "date-time": {"type": "string", "format": "date-time"},
    "uuid": {"type": "string", "format": "uuid"},
    "ipv4": {"type": "string", "format": "ipv4"},
    "ipv6": {"type": "string", "format": "ipv6"},
    "email": {"type": "string", "format": "email"},
    "hostname": {"type": "string", "format": "hostname"},
    "duration": {"type": "string", "format": "duration"},
    "date and pattern": {"type": "string", "format": "date", "pattern": "^20"},
    "event": obj(at={"type": "string", "format": "date-time"}, until_={"format": "date"}),
    "array": array(INT, 0, 5),
    "full array": array(FLAG, 4, 4),
    "matrix": array(array(INT, 2, 2), 2, 2),
    "tuple": {"prefixItems": [text(3), INT, FLAG], "items": False, "minItems": 3, "type": "array"},
    "tuple and rest": {"type": "array", "prefixItems": [text(3)], "items": INT, "maxItems": 4},
    "array of enums": array({"enum": ["red", "green", "blue"]}, 1, 3),
    "array of objects": array(obj(key=text(4), value=INT), 1, 2),
    "all optional": obj(a_=INT, b_=text(4), c_=FLAG),
    "half optional": obj(a=INT, b_=text(4), c=FLAG, d_=array(INT)),
    "map": {"type": "object", "additionalProperties": INT, "maxProperties": 3},
    "map of one": {"type": "object", "additionalProperties": INT, "minProperties": 1},
    "pattern map": {
        "type": "object",
        "patternProperties": {"^k[0-9]{1,2}$": FLAG},
        "additionalProperties": False,
        "maxProperties": 3,
    },
    "known and others": {"properties": {"a": INT}, "required": ["a"], "type": "object"},
    "closed empty": {"type": "object", "additionalProperties": False},
    "union of types": {"type": ["integer", "string", "null"], "maxLength": 5},
    "any of": {"anyOf": [INT, text(4), array(FLAG)]},
    "one of": {"oneOf": [obj(kind={"const": "a"}, n=INT), obj(kind={"const": "b"}, s=text(4))]},
    "all of": {
        "allOf": [
            {"type": "object", "properties": {"a": INT}, "required": ["a"]},
            {"properties": {"b": FLAG}, "required": ["b"], "additionalProperties": True},
        ],
        "maxProperties": 2,
    },
    "nullable field": obj(name={"anyOf": [text(5), {"type": "null"}]}, n=INT),
    "definitions": {
        "$defs": {"point": obj(x=INT, y=INT)},
        **obj(start={"$ref": "#/$defs/point"}, end={"$ref": "#/$defs/point"}),
    },
    "tree": {
        "$defs": {"node": obj(label=text(3), children=array({"$ref": "#/$defs/node"}, 0, 1))},
        "$ref": "#/$defs/node",
    },
    "tool call": obj(
        name={"const": "get_weather"},
        arguments=obj(city=text(10), unit={"enum": ["C", "F"]}, days_=INT),
    ),
    "tool calls": array(
        {
            "anyOf": [
                obj(name={"const": "open"}, arguments=obj(path=text(8))),
                obj(name={"const": "close"}, arguments=obj(force=FLAG)),
            ]
        },
        1,
        2,
    ),
    "deep": obj(a=obj(b=obj(c=obj(d=obj(e=INT))))),
    "wide": obj(**{f"field{i}": FLAG for i in range(12)}),
    "names that are keywords": obj(type=text(3), properties=INT, format=FLAG, pattern=text(3)),
    "names with characters": {
        "type": "object",
        "properties": {'a"b': INT, "ü ñ": FLAG, "back\\slash": INT, "": FLAG},
        "required": ['a"b', "ü ñ", "back\\slash", ""],
        "additionalProperties": False,
    },
    "numbers in an enum": {"enum": [1, 2.5, -3, 1e10]},
    "objects in an enum": {"enum": [{"a": 1}, {"b": [2]}, [], "x"]},
    "described": {
        "title": "Answer",
        "description": "An answer with its reasons.",
        **obj(
            reasons=array({**text(10), "description": "one reason", "examples": ["so"]}, 1, 2),
            answer={**FLAG, "default": True},
        ),
    },
    "not unique": {**array(INT, 1, 4), "uniqueItems": False},
    "profile": obj(
        id=INT,
        handle={"type": "string", "pattern": "^[a-z_]{3,10}$"},
        since={"type": "string", "format": "date"},
        score=MONEY,
        is_admin=FLAG,
        role={"enum": ["owner", "editor", "viewer"]},
        tags=array(text(5), 0, 2),
        note={"type": ["string", "null"], "maxLength": 6},
    ),
}
