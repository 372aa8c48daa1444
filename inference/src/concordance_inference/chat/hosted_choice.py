"""Which of the tools that the server runs a request's model may call."""

from collections.abc import Mapping, Sequence
from typing import Any

from concordance_sdk.hosted_tool import HostedTool
from concordance_shared import InvalidRequestError

from concordance_inference.hosted_tools import HostedTools
from concordance_inference.tools.offer import ToolOffer

#: Fields whose updates are of one round only.
_ONE_ROUND = {"include_retractions": "stream_options", "show_tokens": "stream_options"}


def hosted_of(
    names: Sequence[str] | None,
    known: HostedTools | None,
    offer: ToolOffer | None,
    options: Mapping[str, Any],
) -> tuple[HostedTool, ...]:
    """Return the hosted tools of a request: those that it names, or all.

    None if it must call one of its own tools, or asks for updates that retract tokens.

    Args:
        names: The tools that the request names; `None` if it does not.
        known: The tools of the server; `None` if the model knows no such tools.
        offer: The request's own tools.
        options: The fields of the request.

    Raises:
        InvalidRequestError: A tool is unknown, or cannot be combined with another field.
    """
    if known is None:
        if names:
            raise InvalidRequestError(
                "hosted_tools: this model's chat template knows none; models of gpt-oss do",
                param="hosted_tools",
            )
        return ()
    chosen = known.chosen(names)
    field = next((field for name, field in _ONE_ROUND.items() if options.get(name)), None)
    if offer is not None and offer.is_required:
        field = "tool_choice"
    if field is None or not chosen:
        return chosen
    if names:
        raise InvalidRequestError(
            f"hosted_tools and {field}: they cannot be combined; leave out one of them",
            param="hosted_tools",
        )
    return ()
