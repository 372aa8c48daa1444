"""What a completion says, also one that runs, or that ended a short time ago. Plain data."""

from msgspec import Struct

from concordance_inference.generation import Completed, GenerationRequest


class WrittenCompletion(Struct, frozen=True, kw_only=True, eq=False):
    """A completion from its beginning, as a request that nothing interrupted has it.

    Attributes:
        request: Its request, with the prompt as mods left it.
        completed: What it has generated.
    """

    request: GenerationRequest
    completed: Completed
