"""What clients are told of a mod, as JSON.

A mod's text, its parameters' defaults and their schemas are its author's, and may be anything that
Python has. They are encoded once, when the mod is loaded, so that no list of mods can fail by one
of them, or take long.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from concordance_sdk import ModDefinition


def description_of(definition: ModDefinition, about: Mapping[str, Any]) -> msgspec.Raw:
    """A mod's description, encoded.

    Parameters that JSON Schema cannot describe, as one with a default that JSON does not have, are
    told by their names alone.

    Args:
        definition: The mod.
        about: What is to be told beside.
    """
    fields = {
        "id": _clean(definition.name),
        "object": "mod",
        **about,
        "description": _clean(definition.doc.partition("\n")[0]),
        "events": [event.__name__ for event in definition.handlers],
        "max_backtrack": definition.max_backtrack,
    }
    struct = definition.parameters
    if struct is None:
        return _encoded({**fields, "parameters": None})
    try:
        return _encoded({**fields, "parameters": msgspec.json.schema(struct)})
    except Exception:  # defaults and annotations run their own code, and raise anything
        return _encoded({**fields, "parameters": _names_only(struct)})


def _names_only(struct: type[msgspec.Struct]) -> dict[str, Any]:
    fields = msgspec.structs.fields(struct)
    return {
        "type": "object",
        "properties": {_clean(field.encode_name): {} for field in fields},
        "required": [_clean(field.encode_name) for field in fields if field.required],
    }


def _encoded(value: Mapping[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _clean(text: str) -> str:
    """The text with a question mark for each half of a character."""
    return text.encode(errors="replace").decode()
