"""Objects whose members are written one by one."""

import pytest
from concordance_sdk.constraints import allows
from concordance_sdk.constraints.keyed_object import KeyedObject
from concordance_sdk.constraints.schema.keyed import KeyedSpelling
from concordance_shared import ConstraintError

SPELLING = KeyedSpelling(before_key="<", after_key=">", after_value="</>")
QUOTED = KeyedSpelling(after_key=":", quote="`", separator=",")


def is_allowed(properties, text, spelling=SPELLING, **schema):
    schema = {"type": "object", "properties": properties, **schema}
    return allows(KeyedObject(schema, spelling), text)


@pytest.mark.parametrize(
    ("schema", "value", "is_right"),
    [
        ({"type": "string"}, 'a "b"\n', True),
        ({"type": "string"}, "", True),
        ({"type": "string", "maxLength": 2}, "ab", True),
        ({"type": "string", "maxLength": 2}, "abc", False),
        ({"type": "string", "minLength": 1}, "", False),
        ({"type": "string", "pattern": "^[a-z]+$"}, "abc", True),
        ({"type": "string", "pattern": "^[a-z]+$"}, "ab1", False),
        ({"enum": ["x y", "z"]}, "x y", True),
        ({"enum": ["x y", "z"]}, "y", False),
        ({"enum": ["x", 3]}, "3", True),
        ({"type": "integer"}, "12", True),
        ({"type": "integer"}, "1.5", False),
        ({"type": "integer"}, "a", False),
        ({"type": ["string", "null"]}, "null", True),
        ({"type": ["string", "null"]}, "no", True),
        ({"type": ["string", "null"]}, "{", False),
        ({"type": "boolean"}, "true", True),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, '{"a": 1}', True),
        ({"type": "array", "items": {"type": "string"}}, '["</>", "b"]', True),
        ({"type": "array", "items": {"type": "string"}}, "[1]", False),
        ({}, "anything", True),
        ({}, '[1, {"a": null}]', True),
        ({"$ref": "#/$defs/n"}, "7", True),
        ({"$ref": "#/$defs/n"}, "x", False),
    ],
)
def test_a_value_follows_its_schema(schema, value, is_right):
    assert is_allowed({"a": schema}, f"<a>{value}</>", **{"$defs": {"n": {"type": "integer"}}}) == (
        is_right
    )


def test_required_members_are_written_and_others_may_be():
    properties = {"a": {"type": "integer"}, "b": {"type": "integer"}}

    assert is_allowed(properties, "<a>1</><b>2</>", required=["b"])
    assert is_allowed(properties, "<b>2</>", required=["b"])
    assert not is_allowed(properties, "<a>1</>", required=["b"])
    assert is_allowed(properties, "")
    assert not is_allowed(properties, "<c>1</>")


def test_conditions_between_members_hold():
    properties = {"a": {"type": "integer"}, "b": {"type": "integer"}}
    needs = {"dependentRequired": {"a": ["b"]}}

    assert is_allowed(properties, "<a>1</><b>2</>", **needs)
    assert not is_allowed(properties, "<a>1</>", **needs)


def test_quotes_and_separators_are_written():
    properties = {"a": {"type": "string"}, "b": {"type": "integer"}}

    assert is_allowed(properties, "a:`x,b:2`,b:3", QUOTED)
    assert is_allowed(properties, "b:3", QUOTED)
    assert not is_allowed(properties, "a:x,b:3", QUOTED)
    assert not is_allowed(properties, "a:`x`b:3", QUOTED)


@pytest.mark.parametrize(
    ("properties", "more", "message"),
    [
        ({"a>b": {}}, {}, "cannot be written .*at #/properties/a>b"),
        ({"a": {"pattern": "(?<=a)b"}}, {}, "look-behind"),
        ({"a": {"type": "array", "uniqueItems": True}}, {}, "uniqueItems"),
    ],
)
def test_what_cannot_be_written_is_refused(properties, more, message):
    with pytest.raises(ConstraintError, match=message):
        KeyedObject({"type": "object", "properties": properties, **more}, SPELLING)
