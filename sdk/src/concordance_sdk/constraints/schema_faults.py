"""What is wrong with a schema, with the keyword and the place in it that llguidance leaves out."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from concordance_sdk.constraints.schema_support import within

_FORMATS = "date, time, date-time, duration, email, hostname, ipv4, ipv6, uri, uuid"
_TYPES = "string, number, integer, boolean, null, array, object"


def explained(error: str, schema: Mapping[str, Any]) -> str:
    """An error of llguidance's, with the keyword and the place in the schema that it is about."""
    if words := re.search(r"Unimplemented keys: \[(.*?)\]", error):
        named = cast(list[str], re.findall(r'"([^"]+)"', words[1]))
        places = ", ".join(_named(word, schema) for word in named)
        return f"it does not enforce {places}; leave that out, or check it afterwards"
    if "oneOf constraints" in error:
        return (
            f"it does not enforce {_named('oneOf', schema)} unless its cases clearly exclude each "
            "other; use 'anyOf', or give each a property with a 'const' of its own"
        )
    if found := re.search(r"Unknown format: (\S+)", error):
        where = _named("format", schema, found[1])
        return f"it knows no {where}; the formats are: {_FORMATS}"
    if found := re.search(r"Invalid type: (\S+)", error):
        return f"there is no {_named('type', schema, found[1])}; the types are: {_TYPES}"
    if re.search(r"Resource '.*' is not present", error):
        return _explained_reference(schema)
    return in_short(error)


def in_short(error: str) -> str:
    """An error of llguidance's on one line, without the grammar that it prints behind."""
    said = re.sub(r"\n +\d+ \| .*", "", error, flags=re.DOTALL)
    said = said.removeprefix("at ").partition("JSON schema: ")[2] or said
    return " ".join(said.split())


def _explained_reference(schema: Mapping[str, Any]) -> str:
    outer = [
        f"{target!r} (at {at})"
        for at, target in _places_of("$ref", schema, "$")
        if not str(target).startswith("#")
    ]
    return (
        f"it follows no '$ref' to another document, as to {', '.join(outer)}; put what is meant "
        "under '$defs', and refer to it as '#/$defs/...'"
    )


def _named(word: str, schema: Mapping[str, Any], value: str | None = None) -> str:
    """A keyword, with its value if one is asked for, and where in a schema it stands first."""
    places = (
        at
        for at, given in _places_of(word, schema, "$")
        if value is None or given == value or (isinstance(given, list) and value in given)
    )
    named = repr(word) if value is None else f"{word!r} {value!r}"
    return f"{named} (at {next(places, '$')})"


def _places_of(word: str, schema: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    """Where a keyword stands in a schema, and its value there."""
    if word in schema:
        yield at, schema[word]
    found: list[tuple[Mapping[str, Any], str]] = []
    for key, value in schema.items():
        within(key, value, lambda inner, place: found.append((inner, f"{at}{place}")))
    for inner, place in found:
        yield from _places_of(word, inner, place)
