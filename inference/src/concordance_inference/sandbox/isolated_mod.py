"""Mods in workers, as instances that `ModDispatch` calls."""

from collections.abc import Sequence
from weakref import finalize

from concordance_sdk.host.instance import ModInstance
from concordance_sdk.request_context import RequestContext
from concordance_shared import ConcordanceError, Event, ForwardPass

from concordance_inference.sandbox.lease import Lease
from concordance_inference.sandbox.outcomes import Ask, InstanceInfo, SentLogits, WorkerInfo
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.sandboxed_mod import SandboxedMod
from concordance_inference.sandbox.worker_calls import (
    CountedCalls,
    NoteFailure,
    WorkerCalls,
    row_of,
)


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
    use = request.owner, mod.source.name, mod.source.version
    mod.sandbox.breaker.check(use)
    lease = mod.sandbox.lease(request)

    def note_failure(error: ConcordanceError) -> None:
        mod.sandbox.failures.note(error)
        mod.sandbox.breaker.note(use, error)

    try:
        return IsolatedMod(lease, context, note_failure=note_failure)
    except BaseException:
        lease.kill()
        raise


class IsolatedMod:
    """A mod at work in a worker. A `RequestMod`. The worker ends with it, at the latest.

    Attributes:
        name: The name that the request uses.
        request: What it shares with the request's other mods.
    """

    may_park = True

    def __init__(
        self,
        lease: Lease,
        context: RequestContext,
        *,
        note_failure: NoteFailure = lambda _: None,
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
        self._calls = WorkerCalls(lease, context, note_failure)
        # No object refers to this one, so that a request that is dropped ends its workers.
        self._end = finalize(self, self._calls.close)
        self._end.atexit = False
        info = self._calls.loaded()
        self.max_backtrack = info.max_backtrack
        self._counted = CountedCalls(self.name)
        names = dict.fromkeys(each.name for each in info.instances if each.name != self.name)
        counts = {name: CountedCalls(name) for name in names}
        self.contained = tuple(counts.values())
        self.instances = tuple(
            IsolatedInstance(self._calls, i, info, counts.get(each.name, self._counted))
            for i, each in enumerate(info.instances)
        )

    @property
    def num_calls(self) -> int:
        """Calls of its handlers."""
        return self._counted.num_calls

    @property
    def seconds(self) -> float:
        """Time that they took, as the worker says."""
        return self._counted.seconds

    def listens_to(self, event_type: type[Event]) -> bool:
        """True if an instance of it handles events of this type."""
        return any(each.listens_to(event_type) for each in self.instances)

    def close(self) -> None:
        """End the worker."""
        self._calls.close()

    def ask(self, event: Event) -> object:
        """Have the worker call the mod's own handler of this event's type, not that of a part."""
        own = [each for each in self.instances if each.name == self.name]
        return own[-1].ask(event)


class IsolatedInstance:
    """A mod in a worker, a part of it, or a mod that it contains. A `ModInstance`."""

    def __init__(
        self, calls: WorkerCalls, index: int, worker: WorkerInfo, counted: CountedCalls
    ) -> None:
        """Refer to one of the worker's instances.

        Args:
            calls: The calls of the worker.
            index: The index of the instance in the worker.
            worker: What the worker says of its instances.
            counted: Counts its calls.
        """
        self._info = worker.instances[index]
        self.name = self._info.name
        self.max_backtrack = worker.max_backtrack  # of the whole mod
        self._calls, self._index, self._counted = calls, index, counted

    @property
    def instances(self) -> Sequence[ModInstance]:
        """The instance itself."""
        return (self,)

    def listens_to(self, event_type: type[Event]) -> bool:
        """True if it handles events of this type."""
        return event_type in self._info.events

    def ask(self, event: Event) -> object:
        """Have the worker call the handler of this event's type.

        Raises:
            ConcordanceError: The handler raised, or the worker has failed.
        """
        logits = _sent(event, self._info) if isinstance(event, ForwardPass) else None
        return self._calls.handle(Ask(self._index, event, logits), self._counted)


def _sent(event: ForwardPass, info: InstanceInfo) -> SentLogits:
    """Return what an instance declares to read, so that it need not be requested."""
    logits, need = event.logits, info.logits
    if isinstance(need, int):
        return SentLogits(len(logits), top=logits.top_k(min(need, len(logits))))
    return SentLogits(len(logits), row=row_of(logits) if need == "full" else None)
