"""A mod in a worker, as `ModDispatch` calls it: each event waits for its answer."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from concordance_sdk.request_context import RequestContext
from concordance_shared import Action, Event, ForwardPass, Logits, Sampled

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

if TYPE_CHECKING:
    from concordance_sdk.host.instance import ModInstance

#: Returns once `Lease.poll` may have something to return, or its deadline has passed.
Wait = Callable[[Lease], None]


class IsolatedMod:
    """The mod of a lease.

    Attributes:
        lease: The lease; `close` ends it.
        request: What the request's mods share.
        name: The name that the request uses.
        max_backtrack: Tokens that a stream holds back for it; `None` for all.
        instances: All that events are dispatched to, in order.
        contained: Empty: mods that it contains are among its `instances`.
        seconds: Time in the mod's code, as its worker says.
        num_calls: Number of calls of its handlers.
    """

    def __init__(self, lease: Lease, request: RequestContext, *, wait: Wait) -> None:
        """Wait until the mod is loaded.

        Args:
            lease: The lease, of which nothing has been polled.
            request: What the request's mods share.
            wait: Waits for the worker.

        Raises:
            ConcordanceError: The mod cannot be loaded, or rejects the request. The lease is ended.
        """
        self.lease = lease
        self.request = request
        self.name = lease.mod
        self.seconds = 0.0
        self.num_calls = 0
        self.contained: tuple[Any, ...] = ()
        self._wait = wait
        lease.mirror(request)
        outcome = self._next()
        if isinstance(outcome, LeaseFailed):
            lease.kill()
            raise outcome.error
        info = cast(Ready, outcome).info
        self.max_backtrack = info.max_backtrack
        self.instances: Sequence[ModInstance] = tuple(
            IsolatedInstance(self, index, each) for index, each in enumerate(info.instances)
        )

    def listens_to(self, event_type: type[Event]) -> bool:
        """Return False: its instances handle events."""
        del event_type
        return False

    def ask(self, event: Event) -> object:
        """Reject: its instances handle events."""
        raise TypeError(f"{type(event).__name__} is handled by instances of mod {self.name!r}")

    def close(self) -> None:
        """End the worker."""
        self.lease.kill()

    def answer(self, ask: Ask) -> object:
        """Send an event, wait, and return the handler's reports and action.

        Raises:
            ConcordanceError: The mod failed.
        """
        self.lease.send([ask])
        self.num_calls += 1
        outcome = self._next()
        while isinstance(outcome, ReadRequested):
            self._read(outcome, ask.event)
            outcome = self._next()
        if isinstance(outcome, LeaseFailed):
            raise outcome.error
        answered = cast(Answered, outcome)
        self.seconds += answered.micros / 1e6
        (result,) = answered.results
        if not result.reports:
            return result.action
        action: list[Action] = [] if result.action is None else [result.action]
        return [*result.reports, *action]

    def _next(self) -> Outcome:
        while (outcome := self.lease.poll()) is None:
            self._wait(self.lease)
        return outcome

    def _read(self, read: ReadRequested, event: Event) -> None:
        try:
            value = value_of(read, event)
        except Exception as exc:  # e.g. a token id outside the vocabulary
            self.lease.answer(error=f"{exc}")
        else:
            self.lease.answer(value)


class IsolatedInstance:
    """An instance of a mod in a worker: the mod itself, a part, or a mod that it contains."""

    def __init__(self, mod: IsolatedMod, index: int, info: InstanceInfo) -> None:
        """Refer to an instance.

        Args:
            mod: The mod.
            index: Its index among the mod's instances.
            info: Its name, events and logits.
        """
        self.name = info.name
        self.instances = (self,)
        self._mod = mod
        self._index = index
        self._info = info

    @property
    def max_backtrack(self) -> int | None:
        """Tokens that a stream holds back for the whole mod."""
        return self._mod.max_backtrack

    def listens_to(self, event_type: type[Event]) -> bool:
        """True if it handles events of this type."""
        return event_type in self._info.events

    def ask(self, event: Event) -> object:
        """Send an event, wait, and return the action.

        Raises:
            ConcordanceError: The mod failed.
        """
        sent = sent_logits(event, self._info) if isinstance(event, ForwardPass) else None
        return self._mod.answer(Ask(self._index, event, sent))


def sent_logits(event: ForwardPass, info: InstanceInfo) -> SentLogits:
    """Return what an instance declares to read of the logits."""
    logits = cast(Logits, event.logits)
    if isinstance(info.logits, int):
        return SentLogits(len(logits), top=logits.top_k(min(info.logits, len(logits))))
    row = row_bytes(logits.to_numpy()) if info.logits == "full" else None
    return SentLogits(len(logits), row=row)


def value_of(read: ReadRequested, event: Event) -> Any:
    """Return the value that a handler reads of its event.

    Raises:
        Exception: The event has no such value.
    """
    if read.kind == "logprob":
        return cast(Sampled, event).logprob
    logits = cast(Logits, cast(ForwardPass, event).logits)
    match read.kind:
        case "top_k":
            return logits.top_k(min(read.k, len(logits)))
        case "margin":
            return logits.margin(read.k)
        case "entropy":
            return logits.entropy()
        case "logprobs":
            return logits.logprobs(read.token_ids)
        case "row":
            return row_bytes(logits.to_numpy())
