"""Events of the SDK as they are sent to a worker."""

from collections.abc import Callable, Sequence

from concordance_shared import (
    Added,
    ChannelPlace,
    Finished,
    ForwardPass,
    Prefilled,
    Sampled,
)
from concordance_shared.channels import NOWHERE

from concordance_inference.sandbox.outcomes import Ask
from concordance_inference.sandbox.protocol import events

#: Writes a row into the memory of the worker.
WriteRow = Callable[[bytes | memoryview], None]


def sent_asks(asks: Sequence[Ask], write_row: WriteRow) -> tuple[events.SentAsk, ...]:
    """Return events as they are sent.

    Args:
        asks: The events. Those of one message share the row of logits.
        write_row: Writes that row.
    """
    row = next((ask.logits.row for ask in asks if ask.logits and ask.logits.row is not None), None)
    if row is not None:
        write_row(row)
    return tuple(events.SentAsk(ask.instance, _sent(ask)) for ask in asks)


def _sent(ask: Ask) -> events.SentEvent:
    event = ask.event
    match event:
        case Added():
            return events.SentAdded(event.step, event.added_tokens, event.forced, _place(event))
        case Sampled():
            return events.SentSampled(
                event.step, event.sampled_token, _place(event), event.known_logprob
            )
        case ForwardPass():
            return _sent_forward_pass(event, ask)
        case Prefilled():
            return events.SentPrefilled(event.max_steps, event.context_info.tokens)
        case Finished():
            return events.SentFinished(event.step, event.finish_reason.value)
        case _:
            raise TypeError(f"no worker handles {event!r:.80}")


def _sent_forward_pass(event: ForwardPass, ask: Ask) -> events.SentForwardPass:
    logits = ask.logits
    width = len(event.logits) if logits is None else logits.width
    top = None if logits is None or logits.top is None else tuple(logits.top)
    has_row = logits is not None and logits.row is not None
    return events.SentForwardPass(
        event.step, width, top, has_row, _place(event), event.prompt_logprobs
    )


def _place(event: Added | Sampled | ForwardPass) -> ChannelPlace | None:
    place = event.place
    return None if place is NOWHERE else place
