"""A mod as the payload that uploads it, in the older form: a dictionary."""

from typing import Any

import concordance_sdk
import msgspec


def serialize_mod(
    mod_fn: Any, *, name: str | None = None, description: str | None = None
) -> dict[str, Any]:
    """The body of `POST /v1/mods` that uploads a mod.

    Args:
        mod_fn: The mod.
        name: What requests will call it; its own name if left out.
        description: Says what it does, for readers of the payload.

    Raises:
        ModDefinitionError: It is not a mod, or its source cannot be read.
    """
    payload = msgspec.to_builtins(concordance_sdk.serialize_mod(mod_fn, name=name))
    # With its defaults spelled out, as it used to be.
    payload = {"language": "python", "module": "client_mod", **payload}
    return payload if description is None else {**payload, "description": description}
