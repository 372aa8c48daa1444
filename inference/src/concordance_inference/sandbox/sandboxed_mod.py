"""An uploaded mod, which only workers load."""

from msgspec import Struct

from concordance_inference.sandbox.protocol.events import ModSource
from concordance_inference.sandbox.supervisor import Supervisor


class SandboxedMod(Struct, frozen=True, eq=False):
    """An uploaded mod: its source, and the sandbox whose workers run it.

    Attributes:
        source: The source.
        sandbox: The sandbox.
        doc: What it says of itself.
    """

    source: ModSource
    sandbox: Supervisor
    doc: str = ""

    @property
    def name(self) -> str:
        """Its name in requests."""
        return self.source.name
