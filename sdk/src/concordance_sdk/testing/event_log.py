"""The events of a request, as lines that read well and are easily written down in a test."""

from collections.abc import Sequence

from concordance_shared import Added, Event, Finished, ForwardPass, Prefilled, Sampled

from concordance_sdk.tokenizer import Tokenizer


class EventLog:
    """Writes down every event. As a mod in front of the others it hears of all of them.

    Attributes:
        events: What was raised, in order.
        num_said: How many tokens were sampled and added, those taken back later among them.
    """

    name = "event_log"
    max_backtrack = 0

    def __init__(self) -> None:
        """Begin with no events."""
        self.events: list[Event] = []
        self.num_said = 0
        self.parts = (self,)

    def listens_to(self, event_type: type[Event]) -> bool:  # noqa: ARG002
        """To all."""
        return True

    def ask(self, event: Event) -> None:
        """Write it down and answer nothing."""
        self.events.append(event)
        if isinstance(event, Added) and not event.forced:
            self.num_said += len(event.added_tokens)


def lines_of(events: Sequence[Event], tokenizer: Tokenizer) -> tuple[str, ...]:
    """Each event as a line, and a line for what was taken back between two.

    Args:
        events: What was raised, in order.
        tokenizer: Says what tokens read as.

    Examples:
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> added = Added(request_id="r", step=0, added_tokens=(72, 105), forced=True)
        >>> lines_of([added], ByteTokenizer())
        ("added 0 'Hi' (forced)",)
    """
    lines: list[str] = []
    length = 0  # of the completion, as far as the events tell
    for event in events:
        if event.step < length:
            lines.append(f"taken back {length - event.step}, to {event.step}")
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
