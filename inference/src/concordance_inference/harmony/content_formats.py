"""The formats that the messages of a completion follow, by their headers."""

from collections.abc import Callable

from concordance_sdk import Tokenizer
from concordance_sdk.constraints import Constraint, JsonSchema, compile_constraint
from concordance_shared import (
    ChannelPlace,
    ConstraintError,
    Tool,
)
from msgspec import Struct

from concordance_inference.harmony.headers import FUNCTIONS
from concordance_inference.mods.compiling import COMPILE_S, compile_within
from concordance_inference.mods.enforcement_errors import refusal
from concordance_inference.output_format import OutputFormat
from concordance_inference.time_limit import TimeLimitError
from concordance_inference.tools.call_grammar import located_error
from concordance_inference.tools.offer import ToolOffer, parameters_of


class ContentFormats(Struct, frozen=True, eq=False):
    """The constraints of a request's messages.

    Attributes:
        final: Of messages to the user; `None` for free text.
        arguments: Of calls, by recipient.
    """

    final: Constraint | None
    arguments: dict[str, Constraint]

    def of(self, place: ChannelPlace) -> Constraint | None:
        """Return the constraint of a message; `None` if its content is free."""
        if place.recipient is not None and place.is_to_tool:
            name = place.recipient.removeprefix(FUNCTIONS)
            return self.arguments.get(FUNCTIONS + name)
        return self.final if place.channel == "final" else None


def compiled_formats(
    output: OutputFormat | None, offer: ToolOffer | None, tokenizer: Tokenizer
) -> ContentFormats:
    """Compile the formats of a request.

    Args:
        output: The format of `final` messages.
        offer: The tools.
        tokenizer: The model's.

    Raises:
        SchemaError: One cannot be enforced, or not be compiled in time; `param` is its place.
        InvalidRequestError: The same for an output format that is no JSON Schema.
    """
    arguments = {
        FUNCTIONS + tool.function.name: _arguments(tool, offer, tokenizer)
        for tool in (offer.tools if offer else ())
    }
    final: Constraint | None = None
    if output:
        try:
            final = _compiled(output.constraint, tokenizer)
        except (ConstraintError, TimeLimitError) as exc:
            raise refusal(output, exc) from exc
    return ContentFormats(final, arguments)


def _arguments(tool: Tool, offer: ToolOffer | None, tokenizer: Tokenizer) -> Constraint:
    place = offer.place(tool.function.name) if offer else ""
    try:
        return _compiled(lambda: JsonSchema(parameters_of(tool)), tokenizer)
    except (ConstraintError, TimeLimitError) as exc:
        named = exc if isinstance(exc, ConstraintError) else ConstraintError(str(exc))
        raise located_error(named, place) from exc


def _compiled(make: Callable[[], Constraint], tokenizer: Tokenizer) -> Constraint:
    made: list[Constraint] = []

    def compile_() -> None:
        made.append(make())
        compile_constraint(made[0], tokenizer)

    compile_within(COMPILE_S, compile_)
    return made[0]
