"""The calls of one worker, each of which waits for its answer."""

import sys
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from typing import Any, cast

from concordance_sdk.host.instance import CountedMod
from concordance_sdk.host.mod_scope import ModScope, set_current_mod
from concordance_sdk.request_context import RequestContext
from concordance_shared import ConcordanceError, Event, Finished, ForwardPass, Logits, Sampled

from concordance_inference.sandbox.lease import Lease
from concordance_inference.sandbox.outcomes import (
    Answered,
    Ask,
    LeaseFailed,
    Outcome,
    ReadRequested,
    Ready,
    WorkerInfo,
)
from concordance_inference.sandbox.protocol.actions import row_bytes
from concordance_inference.sandbox.waiting import block
from concordance_inference.suspension import await_answer, can_wait

NoteFailure = Callable[[ConcordanceError], None]

#: How a value that a handler reads is computed, by kind.
_READS: dict[str, Callable[[Logits, ReadRequested], object]] = {
    "top_k": lambda logits, read: logits.top_k(min(read.k, len(logits))),
    "row": lambda logits, _: row_of(logits),
    "logprobs": lambda logits, read: logits.logprobs(read.token_ids),
    "entropy": lambda logits, _: logits.entropy(),
    "margin": lambda logits, read: logits.margin(read.k),
}


class CountedCalls:
    """The counts of an isolated mod, or of one that it contains. A `CountedMod`."""

    contained: Sequence[CountedMod] = ()

    def __init__(self, name: str) -> None:
        """Start without calls."""
        self.name, self.num_calls, self.seconds = name, 0, 0.0


class WorkerCalls:
    """Sends events to a worker, and waits for what its handlers return."""

    def __init__(self, lease: Lease, context: RequestContext, note_failure: NoteFailure) -> None:
        """Use a worker that loads a mod.

        Args:
            lease: The worker.
            context: What the request's mods share.
            note_failure: Called with each error of the mod or its worker.
        """
        self._lease, self._note_failure = lease, note_failure
        self._is_closed = self._has_failed = False
        self._printing = _printing(ModScope(lease.mod, context.request_id))
        lease.mirror(context)

    def loaded(self) -> WorkerInfo:
        """Wait until the mod is loaded.

        Raises:
            ConcordanceError: It cannot be loaded, or rejects the request or its parameters.
        """
        return cast(Ready, self._outcome()).info

    def close(self) -> None:
        """End the worker."""
        self._is_closed = True
        self._lease.kill()

    def handle(self, ask: Ask, counted: CountedCalls) -> object:
        """Send an event to the worker, and return the action and the reports of its handler.

        Waits for the answer: the call is parked. A mod that has raised handles `Finished` only.

        Args:
            ask: The event.
            counted: The mod, or the one that it contains, whose handler is called.

        Raises:
            ConcordanceError: The handler raised, or the worker has failed.
        """
        if self._is_closed or (self._has_failed and not isinstance(ask.event, Finished)):
            return None
        counted.num_calls += 1
        self._lease.send([ask])
        while isinstance(outcome := self._outcome(), ReadRequested):
            self._answer(outcome, ask.event)
        answered = cast(Answered, outcome)
        counted.seconds += answered.micros / 1e6
        (result,) = answered.results
        return [*result.reports, result.action] if result.reports else result.action

    def _outcome(self) -> Outcome:
        """Wait for what happens next.

        Raises:
            ConcordanceError: The mod or its worker has failed.
        """
        while (outcome := self._lease.poll()) is None:
            if can_wait():
                await_answer(self._lease)
            else:
                block(self._lease)
        for text in self._lease.take_logs():
            self._printing.run(sys.stdout.write, text)
        if isinstance(outcome, LeaseFailed):
            self._has_failed = True
            self._note_failure(outcome.error)
            if not outcome.can_finish:
                self.close()
            raise outcome.error
        return outcome

    def _answer(self, read: ReadRequested, event: Event) -> None:
        """Send what a handler reads: logits that were not sent along, or a log-probability."""
        try:
            value = _value(read, event)
        except Exception as exc:  # for example an id that the vocabulary does not have
            self._lease.answer(error=f"{exc}")
        else:
            self._lease.answer(cast(Any, value))


def row_of(logits: Logits) -> bytes:
    """Return a row of logits as a worker reads it."""
    return row_bytes(logits.to_numpy())


def _value(read: ReadRequested, event: Event) -> object:
    if read.kind == "logprob":
        return cast(Sampled, event).logprob
    return _READS[read.kind](cast(ForwardPass, event).logits, read)


def _printing(scope: ModScope) -> Context:
    """Return a context in which output counts as that of the mod."""
    context = copy_context()
    context.run(set_current_mod, scope)
    return context
