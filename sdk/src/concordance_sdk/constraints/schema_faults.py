"""What is wrong with a schema, with the keyword and the place in it that llguidance leaves out."""

import re
from collections.abc import Iterator
from typing import Any, cast

from concordance_sdk.constraints.schema_places import places

_FORMATS = "date, time, date-time, duration, email, hostname, ipv4, ipv6, uri, uuid"
_TYPES = "string, number, integer, boolean, null, array, object"


def explained(error: str, schema: dict[str, Any]) -> str:
    """An error of llguidance's, with the keyword and the place in the schema that it is about."""
    for sign, explain in _EXPLANATIONS:
        if found := re.search(sign, error):
            return explain(found, schema)
    return _with_place(in_short(error), schema)


def _explained_words(found: re.Match[str], schema: dict[str, Any]) -> str:
    named = cast(list[str], re.findall(r'"([^"]+)"', found[1]))
    where = ", ".join(_named(word, schema) for word in named)
    return f"it does not enforce {where}; leave that out, or check it afterwards"


def _explained_one_of(_: re.Match[str], schema: dict[str, Any]) -> str:
    return (
        f"it does not enforce {_named('oneOf', schema)} unless its cases clearly exclude each "
        "other; use 'anyOf', or give each a property with a 'const' of its own"
    )


def _explained_format(found: re.Match[str], schema: dict[str, Any]) -> str:
    return f"it knows no {_named('format', schema, found[1])}; the formats are: {_FORMATS}"


def _explained_type(found: re.Match[str], schema: dict[str, Any]) -> str:
    return f"there is no {_named('type', schema, found[1])}; the types are: {_TYPES}"


def _explained_anchor(found: re.Match[str], schema: dict[str, Any]) -> str:
    missing = (
        f"{reference!r:.60} (at {at})"
        for at, reference in _places_of("$ref", schema)
        if str(reference).endswith(f"#{found[1]}")
    )
    return f"'$ref' {next(missing, repr(found[1]))} points to nothing; put it under '$defs'"


def _explained_reference(_: re.Match[str], schema: dict[str, Any]) -> str:
    outer = [
        f"{target!r} (at {at})"
        for at, target in _places_of("$ref", schema)
        if not str(target).startswith("#")
    ]
    return (
        f"it follows no '$ref' to another document, as to {', '.join(outer)}; put what is meant "
        "under '$defs', and refer to it as '#/$defs/...'"
    )


def _explained_pattern(found: re.Match[str], schema: dict[str, Any]) -> str:
    fault = re.search(r"error: ([^\n]+)", found.string)
    why = fault[1] if fault else r"look-around is not supported, and \b and \B are of its kind"
    return f"it cannot match {_pattern_in(found.string, schema)}: {why}; say it without"


def in_short(error: str) -> str:
    """An error of llguidance's on one line, without the grammar that it prints behind."""
    said = re.sub(r"\n +\d+ \| .*", "", error, flags=re.DOTALL)
    said = said.removeprefix("at ").partition("JSON schema: ")[2] or said
    return " ".join(said.split())


def _pattern_in(error: str, schema: dict[str, Any]) -> str:
    """The pattern that an error is about, with its keyword and place."""
    found = (
        f"{word!r} {pattern!r:.60} (at {at})"
        for word in ("pattern", "patternProperties")
        for at, given in _places_of(word, schema)
        for pattern in (given if isinstance(given, dict) else [str(given)])
        if pattern in error
    )
    return next(found, "a pattern")


def _with_place(said: str, schema: dict[str, Any]) -> str:
    """A message, with the place of the first keyword that it quotes."""
    for word in cast(list[str], re.findall(r"'(\w+)'", said)):
        for at, _ in _places_of(word, schema):
            return f"{said} (at {at})"
    return said


def _named(word: str, schema: dict[str, Any], value: str | None = None) -> str:
    """A keyword, with its value if one is asked for, and where in a schema it stands first."""
    standing = (
        at
        for at, given in _places_of(word, schema)
        if value is None or given == value or (isinstance(given, list) and value in given)
    )
    named = repr(word) if value is None else f"{word!r} {value!r}"
    return f"{named} (at {next(standing, '$')})"


def _places_of(word: str, schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Where a keyword stands in a schema, and its value there."""
    for place in places(schema):
        if word in place.schema:
            yield place.at, place.schema[word]


#: By what sign an error is known, and how it is said.
_EXPLANATIONS = (
    (r"Unimplemented keys: \[(.*?)\]", _explained_words),
    ("oneOf constraints", _explained_one_of),
    (r"Unknown format: (\S+)", _explained_format),
    (r"Invalid type: (\S+)", _explained_type),
    (r"Resource '.*' is not present", _explained_reference),
    (r"(?:Pointer|Anchor) '(.*?)' does not exist", _explained_anchor),
    (r"regex parse error|in regex /", _explained_pattern),
)
