"""Descriptions of mods for clients, as JSON.

A mod's docstring and its parameters' defaults are the author's and can be any Python value. They
are encoded once, when the mod is loaded, so that no single mod can break or slow down the list of
mods.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from concordance_sdk.host import ModDefinition

#: The attribute of a mod that enforces the `response_format` of requests itself.
ENFORCES = "enforces_response_format"


def description_of(definition: ModDefinition, about: Mapping[str, Any]) -> msgspec.Raw:
    """Encode a mod's description.

    Parameters that have no JSON Schema, for example because JSON cannot represent a default, are
    listed by name only.

    Args:
        definition: The mod.
        about: Additional fields.
    """
    fields = {
        "id": _clean(definition.name),
        "object": "mod",
        **about,
        "description": _clean(definition.doc.partition("\n")[0]),
        "events": [event.__name__ for event in definition.handlers],
        "has_parts": definition.has_parts,  # which handle events, too
        "max_backtrack": definition.max_backtrack,
        ENFORCES: getattr(definition.target, ENFORCES, False) is True,
    }
    struct = definition.parameters
    if struct is None:
        return _encoded({**fields, "parameters": None})
    try:
        return _encoded({**fields, "parameters": msgspec.json.schema(struct)})
    except Exception:  # defaults and annotations run the author's code
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
    """Replace unpaired surrogates, which JSON cannot encode, by question marks."""
    return text.encode(errors="replace").decode()
