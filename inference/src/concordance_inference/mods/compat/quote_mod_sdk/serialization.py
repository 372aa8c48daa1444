"""Serializes a mod to an upload payload, as a dictionary."""

from typing import Any

import concordance_sdk
import msgspec


def serialize_mod(
    mod_fn: Any, *, name: str | None = None, description: str | None = None
) -> dict[str, Any]:
    """Return the body of `POST /v1/mods` that uploads a mod.

    Args:
        mod_fn: The mod.
        name: Its name in requests; by default, its own name.
        description: A description for readers of the payload.

    Raises:
        ModDefinitionError: It is not a mod, or its source cannot be read.
    """
    payload = msgspec.to_builtins(concordance_sdk.serialize_mod(mod_fn, name=name))
    # `quote_mod_sdk` includes fields with default values.
    payload = {"language": "python", "module": "client_mod", **payload}
    return payload if description is None else {**payload, "description": description}
