"""What the headers of a request's completion may say."""

from collections.abc import Sequence

from concordance_sdk.hosted_tool import HostedTool

from concordance_inference.harmony.headers import FUNCTIONS, LegalHeaders, Recipient
from concordance_inference.hosted_tools import recipients_of
from concordance_inference.tools.offer import ToolOffer


def legal_headers(
    offer: ToolOffer | None,
    *,
    may_reason: bool = True,
    has_format: bool = False,
    hosted: Sequence[HostedTool] = (),
) -> LegalHeaders:
    """Return the headers of messages that a request allows.

    Without tools there is no commentary: clients would show it as if it were the answer. A model
    that must call a tool may announce it, and cannot answer instead. Beside a format of the content
    it announces nothing: that would be content too.

    Args:
        offer: The tools that may be called.
        may_reason: There may be an analysis.
        has_format: The content follows a format.
        hosted: Tools that the server runs.
    """
    functions = [
        Recipient(name=FUNCTIONS + tool.function.name) for tool in (offer.tools if offer else ())
    ]
    run_here = [
        Recipient(name=name, channel="analysis", content_types=(tool.content,))
        for tool in hosted
        for name in recipients_of(tool)
    ]
    is_required = offer is not None and offer.is_required
    return LegalHeaders(
        channels=(
            *(("analysis",) if may_reason else ()),
            *(("commentary",) if functions and not has_format else ()),
            *(() if is_required else ("final",)),
        ),
        recipients=(*functions, *run_here),
    )
