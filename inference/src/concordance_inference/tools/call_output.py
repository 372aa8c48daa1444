"""The output format of a request that must call tools, or whose content has a format itself."""

from concordance_sdk.constraints import Constraint
from concordance_shared import InvalidRequestError
from msgspec import Struct

from concordance_inference.output_format import OutputFormat
from concordance_inference.tools.call_grammar import CallGrammar
from concordance_inference.tools.offer import ToolOffer


class CallOutput(Struct, frozen=True, kw_only=True, eq=False, tag=True):
    """Calls of tools, or also a text that follows a format.

    Attributes:
        offer: The tools.
        other: The format of a message without calls; `None` if it must call.
        may_reason: The model may reason before.
    """

    offer: ToolOffer
    other: OutputFormat | None = None
    may_reason: bool = True

    @property
    def param(self) -> str:
        """The field of the request, for messages."""
        return "tools"

    @property
    def field(self) -> str:
        """The top-level field of the request."""
        return "tools"

    @property
    def has_response_format(self) -> bool:
        """True if a message without calls follows the request's `response_format`."""
        return self.other is not None and self.other.has_response_format

    @property
    def is_json(self) -> bool:
        """True if it is enforced by a JSON Schema."""
        return True

    def constraint(self) -> Constraint:
        """Return the constraint that enforces it.

        Raises:
            ConstraintError: It cannot be enforced; the message says what and why.
        """
        other = self.other.constraint() if self.other else None
        grammar = CallGrammar(self.offer, may_follow_reasoning=self.may_reason, other=other)
        grammar.check()
        return grammar


def enforced_output(
    output: OutputFormat | None, offer: ToolOffer | None, *, may_reason: bool = True
) -> OutputFormat | CallOutput | None:
    """Return what is enforced from the start of the content; `None` if that is free.

    Args:
        output: The format that the request asks for.
        offer: The tools that it offers.
        may_reason: The model may reason before.

    Raises:
        InvalidRequestError: In the format of the model, such a text may look like a call.
    """
    if offer is None:
        return output
    if offer.is_required:
        return CallOutput(offer=offer, may_reason=may_reason)
    if output is None:
        return None
    if offer.format.layout.at_start:
        raise InvalidRequestError(
            f"{output.field} and tools: this model writes calls as plain JSON, which a text that "
            f"{output.field} allows may be too; leave out one of them, or set tool_choice to none "
            "or required",
            param=output.field,
        )
    return CallOutput(offer=offer, other=output, may_reason=may_reason)
