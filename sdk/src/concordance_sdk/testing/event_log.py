"""A log of the events of a request, as lines that are readable and easy to expect in a test."""

from collections.abc import Sequence

from concordance_shared import Added, Event, Finished, ForwardPass, ModReport, Prefilled, Sampled

from concordance_sdk.host.report_log import ReportLog
from concordance_sdk.tokenizer import Tokenizer


class EventLog:
    """Records events and reports. It is listed first among the mods, so it receives every event.

    Attributes:
        entries: The events, in order, each followed by the reports that were made at it.
        num_generated: The number of sampled tokens that were added, including backtracked ones.
    """

    name = "event_log"
    max_backtrack = 0

    def __init__(self, reports: ReportLog) -> None:
        """Create an empty log.

        Args:
            reports: The reports of the request.
        """
        self.entries: list[Event | ModReport] = []
        self._reports = reports
        self.num_generated = 0
        self.instances = (self,)

    def listens_to(self, event_type: type[Event]) -> bool:  # noqa: ARG002
        """Return True for every event."""
        return True

    def ask(self, event: Event) -> None:
        """Record an event; take no action."""
        self.take_reports()
        self.entries.append(event)
        if isinstance(event, Added) and not event.forced:
            self.num_generated += len(event.added_tokens)

    def take_reports(self) -> None:
        """Record the reports since the last event."""
        self.entries += self._reports.take_new()


def lines_of(entries: Sequence[Event | ModReport], tokenizer: Tokenizer) -> tuple[str, ...]:
    """Format events and reports as lines, with a line for each backtrack between them.

    Args:
        entries: The events and reports, in order.
        tokenizer: Decodes their tokens.

    Examples:
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> added = Added(request_id="r", step=0, added_tokens=(72, 105), forced=True)
        >>> lines_of([added], ByteTokenizer())
        ("added 0 'Hi' (forced)",)
    """
    lines: list[str] = []
    length = 0  # of the completion, as known from the events
    for event in entries:
        if isinstance(event, ModReport):
            lines.append(str(event))
            continue
        if event.step < length:
            lines.append(f"backtracked {length - event.step}, to {event.step}")
        length = event.step + (len(event.added_tokens) if isinstance(event, Added) else 0)
        lines.append(_line(event, tokenizer))
    return tuple(lines)


def _line(event: Event, tokenizer: Tokenizer) -> str:
    match event:
        case Prefilled():
            return f"prefilled with {event.context_info.prompt_len} tokens"
        case ForwardPass():
            return f"forward_pass {event.step}"
        case Sampled():
            return f"sampled {event.step} {tokenizer.decode([event.sampled_token])!r}"
        case Added():
            forced = " (forced)" if event.forced else ""
            return f"added {event.step} {tokenizer.decode(event.added_tokens)!r}{forced}"
        case Finished():
            return f"finished {event.step} {event.finish_reason}"
        case _:
            return repr(event)
