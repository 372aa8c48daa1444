"""An uploaded mod, which only workers load."""

from typing import TYPE_CHECKING

from msgspec import Struct

from concordance_inference.sandbox.protocol.events import ModSource

if TYPE_CHECKING:
    from concordance_inference.sandbox.supervisor import Supervisor


class SandboxedMod(Struct, frozen=True, eq=False):
    """An uploaded mod: its source, and the sandbox whose workers run it.

    Attributes:
        source: The source.
        sandbox: The sandbox.
        doc: What it says of itself.
        enforces_response_format: True if it enforces the `response_format` of requests itself.
    """

    source: ModSource
    sandbox: "Supervisor"
    doc: str = ""
    enforces_response_format: bool = False

    @property
    def name(self) -> str:
        """Its name in requests."""
        return self.source.name
