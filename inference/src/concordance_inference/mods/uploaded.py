"""Uploaded mods: loaded and described by a worker only."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from concordance_shared import SandboxUnavailableError
from msgspec import Raw, Struct

from concordance_inference.sandbox.protocol.events import ModSource
from concordance_inference.sandbox.sandboxed_mod import SandboxedMod

if TYPE_CHECKING:
    from concordance_inference.sandbox.supervisor import Supervisor


class _Known(Struct):
    """What the server itself uses of a description."""

    description: str = ""
    enforces_response_format: bool = False


def sandboxed(
    source: ModSource, sandbox: "Supervisor | None", about: Mapping[str, Any]
) -> tuple[SandboxedMod, Raw]:
    """Have a worker load and describe a mod; return the mod and its description for clients.

    Args:
        source: The source.
        sandbox: Has the workers; `None` if this program has none.
        about: Fields to add to the description.

    Raises:
        SandboxUnavailableError: No uploaded mod can run here.
        ConcordanceError: The mod cannot be loaded.
    """
    if sandbox is None:
        raise SandboxUnavailableError(
            "uploaded mods cannot run here: there is no sandbox; `concordance serve` has one, "
            "unless --sandbox is off"
        )
    description = sandbox.describe(source, about).description
    known = msgspec.json.decode(description, type=_Known)
    mod = SandboxedMod(source, sandbox, known.description, known.enforces_response_format)
    return mod, Raw(description)
