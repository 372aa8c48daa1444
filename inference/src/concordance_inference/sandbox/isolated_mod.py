"""Mods in workers, as instances that `ModDispatch` calls."""

import sys
import time
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
    InstanceInfo,
    LeaseFailed,
    Outcome,
    ReadRequested,
    Ready,
    SentLogits,
)
from concordance_inference.sandbox.protocol.actions import row_bytes
from concordance_inference.sandbox.readiness import is_readable
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.sandboxed_mod import SandboxedMod
from concordance_inference.suspension import await_answer, can_wait

#: How a value that a handler reads is computed, by kind.
_READS: dict[str, Callable[[Logits, ReadRequested], object]] = {
    "top_k": lambda logits, read: logits.top_k(min(read.k, len(logits))),
    "row": lambda logits, _: _row_of(logits),
    "logprobs": lambda logits, read: logits.logprobs(read.token_ids),
    "entropy": lambda logits, _: logits.entropy(),
    "margin": lambda logits, read: logits.margin(read.k),
}


def isolated(mod: SandboxedMod, request: LeaseRequest, context: RequestContext) -> "IsolatedMod":
    """Lease a worker for a mod, and wait until it has loaded the mod.

    Args:
        mod: The mod.
        request: What the worker needs to know.
        context: What the request's mods share.

    Raises:
        ConcordanceError: There is no worker, or the mod cannot be loaded, or it rejects the
            request or its parameters.
    """
    lease = mod.sandbox.lease(request)
    try:
        return IsolatedMod(lease, context, note_failure=mod.sandbox.failures.note)
    except BaseException:
        lease.kill()
        raise


class IsolatedMod:
    """A mod at work in a worker. A `RequestMod`.

    Attributes:
        name: The name that the request uses.
        request: What it shares with the request's other mods.
        num_calls: Calls of its handlers.
        seconds: Time that they took, as the worker says.
    """

    may_park = True

    def __init__(
        self,
        lease: Lease,
        context: RequestContext,
        *,
        note_failure: Callable[[ConcordanceError], None] = lambda _: None,
    ) -> None:
        """Wait until a worker has loaded the mod. Not on the engine's thread.

        Args:
            lease: The worker.
            context: What the request's mods share.
            note_failure: Called with each error of the mod or its worker.

        Raises:
            ConcordanceError: The mod cannot be loaded, or rejects the request or its parameters.
        """
        self.name, self.request = lease.mod, context
        self.num_calls, self.seconds = 0, 0.0
        self._note_failure = note_failure
        self._lease, self._is_closed, self._has_failed = lease, False, False
        self._printing = _printing(ModScope(self.name, context.request_id))
        lease.mirror(context)
        ready = cast(Ready, self._outcome())
        self.max_backtrack = ready.info.max_backtrack
        names = dict.fromkeys(info.name for info in ready.info.instances if info.name != self.name)
        counts = {name: ContainedMod(name) for name in names}
        self.contained = tuple(counts.values())
        self.instances = tuple(
            IsolatedInstance(self, i, info, counts.get(info.name, self))
            for i, info in enumerate(ready.info.instances)
        )

    def listens_to(self, event_type: type[Event]) -> bool:
        """True if an instance of it handles events of this type."""
        return any(each.listens_to(event_type) for each in self.instances)

    def close(self) -> None:
        """End the worker."""
        self._is_closed = True
        self._lease.kill()

    def ask(self, event: Event) -> object:
        """Have the worker call the mod's own handler of this event's type, not that of a part."""
        own = [each for each in self.instances if each.name == self.name]
        return own[-1].ask(event)

    def handle(self, ask: Ask, counted: CountedMod) -> object:
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
                _block(self._lease)
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


class ContainedMod:
    """The counts of a mod that an isolated mod contains. A `CountedMod`."""

    contained: Sequence[CountedMod] = ()

    def __init__(self, name: str) -> None:
        """Start without calls."""
        self.name, self.num_calls, self.seconds = name, 0, 0.0


class IsolatedInstance:
    """A mod in a worker, a part of it, or a mod that it contains. A `ModInstance`."""

    def __init__(
        self, mod: IsolatedMod, index: int, info: InstanceInfo, counted: CountedMod
    ) -> None:
        """Refer to one of the worker's instances.

        Args:
            mod: The mod.
            index: The index of the instance in the worker.
            info: What the worker says of it.
            counted: Counts its calls.
        """
        self.name = info.name
        self.instances = (self,)
        self._mod, self._index, self._info, self._counted = mod, index, info, counted

    @property
    def max_backtrack(self) -> int | None:
        """Tokens that a stream holds back for the whole mod."""
        return self._mod.max_backtrack

    def listens_to(self, event_type: type[Event]) -> bool:
        """True if it handles events of this type."""
        return event_type in self._info.events

    def ask(self, event: Event) -> object:
        """Have the worker call the handler of this event's type.

        Raises:
            ConcordanceError: The handler raised, or the worker has failed.
        """
        logits = _sent(event, self._info) if isinstance(event, ForwardPass) else None
        return self._mod.handle(Ask(self._index, event, logits), self._counted)


def _sent(event: ForwardPass, info: InstanceInfo) -> SentLogits:
    """Return what an instance declares to read, so that it need not be requested."""
    logits, need = event.logits, info.logits
    if isinstance(need, int):
        return SentLogits(len(logits), top=logits.top_k(min(need, len(logits))))
    return SentLogits(len(logits), row=_row_of(logits) if need == "full" else None)


def _row_of(logits: Logits) -> bytes:
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


def _block(lease: Lease) -> None:
    """Wait for a lease on a thread that may wait."""
    seconds = max(0.0, min(lease.deadline - time.monotonic(), 1.0))
    if lease.fileno() >= 0:
        is_readable(lease.fileno(), seconds)
    else:
        time.sleep(0.0005)
