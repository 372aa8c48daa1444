"""JSON Schemas in the part of the language that becomes TypeScript without loss.

The library writes `any` for `$ref`, `anyOf`, `const` and more. References are put in place, unions
are written as `oneOf`, and what has no type in TypeScript is added to the description.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

Schema = dict[str, Any]

#: Limit of subschemas after references are put in place; more are `any`.
MAX_SUBSCHEMAS = 2000

#: Limit of their depth.
_MAX_DEPTH = 40

#: Limit of a keyword that is added to a description, in characters.
_MAX_NOTE = 200

#: Keywords that limit values, which TypeScript cannot express.
_LIMITS = (
    "format",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "additionalProperties",
)

#: Types of Python values in JSON Schema.
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def normalized(schema: Mapping[str, Any]) -> Schema:
    """Return a schema that the library renders with all of its types.

    Examples:
        >>> normalized({"$ref": "#/$defs/word", "$defs": {"word": {"const": "tide"}}})
        {'enum': ['tide'], 'type': 'string'}
    """
    return _Normalizer(schema).of(schema, ())


class _Normalizer:
    """Normalizes the subschemas of one schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._num_subschemas = 0
        self._depth = 0

    def of(self, schema: Any, within: tuple[str, ...]) -> Schema:
        """A subschema.

        Args:
            schema: The subschema.
            within: The references that led to it: one that leads to itself is not followed.
        """
        if not isinstance(schema, Mapping) or self._depth == _MAX_DEPTH:
            return {}
        self._depth += 1
        try:
            return self._of({**cast(Mapping[str, Any], schema)}, within)
        finally:
            self._depth -= 1

    def _of(self, schema: Schema, within: tuple[str, ...]) -> Schema:
        found, within = self._resolved(schema, within)
        found = _with_types(self._merged(found, within))
        for step in (_with_values, _with_notes, _with_lines):
            found = step(found)
        return self._with_parts(found, within)

    def _resolved(self, schema: Schema, within: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """A schema with what it refers to; keywords beside the reference win."""
        self._num_subschemas += 1
        if self._num_subschemas > MAX_SUBSCHEMAS or len(within) > _MAX_DEPTH:
            return {}, within
        while isinstance(name := schema.pop("$ref", None), str):
            if name in within:
                break
            within = (*within, name)
            schema = {**self._target(name), **schema}
        for name in ("$defs", "definitions"):
            schema.pop(name, None)
        return schema, within

    def _target(self, name: str) -> Mapping[str, Any]:
        found: Any = self._root
        if not name.startswith("#"):
            return {}
        for step in filter(None, name[1:].split("/")):
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return found if isinstance(found, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]

    def _merged(self, schema: Schema, within: tuple[str, ...]) -> Schema:
        """A schema with those of `allOf`, and with one name for unions."""
        parts = _listed(schema, "allOf")
        schema.pop("allOf", None)
        for part in (part for part in parts if isinstance(part, Mapping)):
            other = self._merged(*self._resolved({**cast(Schema, part)}, within))
            schema = _both(schema, other)
        if "anyOf" in schema:
            schema.setdefault("oneOf", schema.pop("anyOf"))
        return schema

    def _with_parts(self, schema: Schema, within: tuple[str, ...]) -> Schema:
        """A schema whose parts are normalized."""
        if isinstance(given := schema.get("properties"), Mapping):
            properties = cast(Mapping[str, Any], given)
            schema["properties"] = {_key(k): self.of(v, within) for k, v in properties.items()}
            schema["required"] = [_key(str(k)) for k in _listed(schema, "required")]
        if "items" in schema:
            schema["items"] = self.of(schema["items"], within)
        if isinstance(schema.get("oneOf"), list):
            schema = _with_union(schema, [self.of(part, within) for part in schema["oneOf"]])
        return schema


def _both(schema: Schema, other: Schema) -> Schema:
    """A schema that has the properties of two."""
    both = {**other, **schema}
    own, others = schema.get("properties"), other.get("properties")
    if isinstance(own, Mapping) and isinstance(others, Mapping):
        both["properties"] = {**others, **own}
    if "required" in both:
        both["required"] = [*_listed(other, "required"), *_listed(schema, "required")]
    return both


def _with_types(schema: Schema) -> Schema:
    """A schema that says what it is: a constant as an enumeration, an object as one."""
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if "type" not in schema and "properties" in schema:
        schema["type"] = "object"
    if "type" not in schema and "items" in schema:
        schema["type"] = "array"
    return schema


def _with_values(schema: Schema) -> Schema:
    """A schema whose values are texts; other values are in its description."""
    values = _listed(schema, "enum")
    if not values:
        return schema
    texts = [value for value in values if isinstance(value, str)]
    others = [value for value in values if value is not None and not isinstance(value, str)]
    if None in values:
        schema["nullable"] = True
    if not others and texts:
        return {
            **schema,
            "enum": [json.dumps(v, ensure_ascii=False)[1:-1] for v in texts],
            "type": "string",
        }
    del schema["enum"]
    if not texts and "type" not in schema:
        types = dict.fromkeys(_TYPES.get(type(value)) for value in others)  # pyright: ignore[reportUnknownArgumentType]
        if len(types) == 1 and None not in types:
            schema["type"] = next(iter(types))
    return _noted(schema, f"one of {_json(values)[1:-1]}")


def _with_notes(schema: Schema) -> Schema:
    """A schema with its limits in its description."""
    for name in _LIMITS:
        value = schema.pop(name, None)
        if value is not None and not isinstance(value, bool):
            schema = _noted(schema, f"{name}: {_json(value)}")
    return schema


def _noted(schema: Schema, note: str) -> Schema:
    if len(note) > _MAX_NOTE:
        return schema
    about = schema.get("description")
    return {**schema, "description": f"{about} ({note})" if about else f"({note})"}


def _with_lines(schema: Schema) -> Schema:
    """A schema each line of whose description is a comment; none if it is empty."""
    about = schema.pop("description", None)
    if isinstance(about, str) and about:
        schema["description"] = about.replace("\n", "\n// ")
    return schema


def _with_union(schema: Schema, parts: list[Schema]) -> Schema:
    """A schema with its alternatives; one that is or is not null is that one."""
    others = [part for part in parts if part.get("type") != "null"]
    if len(others) == 1:
        del schema["oneOf"]
        schema = {**others[0], **schema}
        return {**schema, "nullable": True} if len(parts) > 1 else schema
    nulls = [{"type": ["null"]}] if len(others) < len(parts) else []
    return {**schema, "oneOf": others + nulls}


def _listed(schema: Schema, name: str) -> list[Any]:
    """The value of a keyword that has a list."""
    value = schema.get(name)
    return cast(list[Any], value) if isinstance(value, list) else []


def _key(name: str) -> str:
    """The name of a property in TypeScript."""
    return name if name.isidentifier() else json.dumps(name, ensure_ascii=False)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def mapped_texts(schema: Any, change: Callable[[str, str], str], key: str = "") -> Any:
    """Change the texts in a schema, and the names of properties.

    Args:
        schema: The schema, or a part of it.
        change: Maps a keyword and a text in its value.
        key: The keyword.
    """
    if isinstance(schema, str):
        return change(key, schema)
    if isinstance(schema, dict):
        items = cast(Schema, schema).items()
        if key in ("default", "examples"):
            return {change(key, k): mapped_texts(v, change, key) for k, v in items}
        if key == "properties":
            return {change(key, k): mapped_texts(v, change) for k, v in items}
        return {k: mapped_texts(v, change, k) for k, v in items}
    if isinstance(schema, list):
        return [mapped_texts(item, change, key) for item in cast(list[Any], schema)]
    return schema
