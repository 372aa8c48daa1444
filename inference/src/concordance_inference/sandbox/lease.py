"""One worker at work for one mod of one request, without ever blocking."""

import math
import random
import signal
import time
from collections.abc import Sequence

from concordance_sdk.request_context import RequestContext
from concordance_shared import (
    ConcordanceError,
    ModError,
    Prefilled,
    SandboxUnavailableError,
)

from concordance_inference.sandbox import failures
from concordance_inference.sandbox.completion_edits import CompletionEdits
from concordance_inference.sandbox.lease_events import sent_asks
from concordance_inference.sandbox.lease_replies import (
    described,
    info_of,
    read_requested,
    results_of,
)
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.outcomes import (
    Answered,
    Ask,
    LeaseFailed,
    Outcome,
    ReadRequested,
    ReadValue,
    Ready,
    Result,
    WorkerInfo,
)
from concordance_inference.sandbox.protocol import replies
from concordance_inference.sandbox.protocol.events import Begin, Handle, SharedState, Value
from concordance_inference.sandbox.stream import EndOfStreamError, FrameStream, ViolationError
from concordance_inference.sandbox.worker.shared_state import SharedMirror
from concordance_inference.sandbox.worker_handle import WorkerHandle

#: Values that a handler may read in one message.
MAX_READS = 64

#: Seconds that a worker has to end after it has closed its channel, before it is killed; and until
#: its exit status is no longer awaited.
_CLOSING_S, _STATUS_S = 0.25, 1.0

#: Bytes of a logit.
_FLOAT = 4

#: Characters of output that are kept for the requester.
_MAX_LOGS = 256 * 1024


class Lease:
    """A worker for one mod of one request. For one thread at a time; nothing here blocks.

    Attributes:
        mod: The name of the mod.
        info: What it is, once it is loaded.
        layers: The layers of its confinement, by name, once it is up.
        edits: Follows the completion of a request with channels, as one of its followers.
        deadline: When `poll` fails what is outstanding, by `time.monotonic`.
    """

    def __init__(
        self, worker: WorkerHandle, begin: Begin, options: SandboxOptions, *, width: int
    ) -> None:
        """Send a mod to a worker. Made by `Supervisor.lease`.

        Args:
            worker: The worker, which may still be starting.
            begin: The mod and the request.
            options: The deadlines.
            width: Length of a row of the model's logits.
        """
        self.mod = begin.source.name
        self.info: WorkerInfo | None = None
        self.layers: dict[str, str] = {}
        self.edits = CompletionEdits()
        self.deadline = time.monotonic() + options.up_s
        self._worker = worker
        self._options = options
        self._row_bytes = _FLOAT * width
        self._stream = FrameStream(worker.channel, worker.memory)
        self._asks: Sequence[Ask] = ()
        self._seq: int | None = None  # of the message that is not answered yet
        self._num_reads = 0
        self._paused: float | None = None  # seconds left when a value was requested
        self._is_up = False
        self._is_over = False  # killed, or failed
        self._closed_at: float | None = None  # when the worker closed the channel
        self._unsent: ConcordanceError | None = None  # why a message could not be sent
        self._is_closing = False  # killed since it closed the channel and did not end
        self._mirror: SharedMirror | None = None
        self._logs: list[str] = []
        self._num_logged = 0
        self._deliver(begin)

    # State

    def fileno(self) -> int:
        """Return the descriptor that is readable when `poll` has something to do; -1 for none."""
        return -1 if self._is_over or self._closed_at else self._worker.channel.fileno()

    @property
    def is_idle(self) -> bool:
        """True if events may be sent."""
        return self.info is not None and self._seq is None and not self._is_over

    @property
    def pid(self) -> int:
        """The process id of the worker; 0 while it is not known."""
        return self._worker.pid

    def take_logs(self) -> list[str]:
        """Return what the mod has printed since the last call."""
        logs, self._logs = self._logs, []
        return logs

    def mirror(self, context: RequestContext) -> None:
        """Share the request's holds and writers with the worker, in both directions.

        Args:
            context: What the request's mods in this process share.
        """
        self._mirror = SharedMirror(context)

    # Sending

    def send(self, asks: Sequence[Ask]) -> None:
        """Send events, which are handled in order up to the first one with an action.

        Args:
            asks: The events.
        """
        assert self.is_idle, "one message at a time"
        assert 0 < len(asks) <= replies.MAX_ASKS
        self.deadline = time.monotonic() + _seconds_for(asks, self._options)
        self._seq, self._asks, self._num_reads = random.getrandbits(31), asks, 0
        shared = None if self._mirror is None else self._mirror.changes(asks[0].event.step)
        kept, added = self.edits.take()
        sent = sent_asks(asks, self._stream.write_row)
        message = Handle(self._seq, sent, shared, kept, added)
        self._deliver(message)

    def answer(self, value: ReadValue = None, *, error: str | None = None) -> None:
        """Send the value that a handler reads.

        Args:
            value: The value.
            error: Why there is none; raised in the handler.
        """
        assert self._paused is not None, "after a `ReadRequested`"
        self.deadline, self._paused = time.monotonic() + self._paused, None
        if isinstance(value, bytes | bytearray | memoryview):
            self._stream.write_row(value)
            value = None
        self._deliver(Value(value, error))

    def _deliver(self, message: Begin | Handle | Value) -> None:
        try:
            self._stream.send(message)
        except EndOfStreamError:
            self._closed_at = self._closed_at or time.monotonic()
        except ViolationError:
            self._closed_at = self._closed_at or time.monotonic()
            self._worker.kill()
        except (TypeError, ValueError) as exc:
            self._unsent = failures.unsendable(self.mod, exc, *self._where())

    # Receiving

    def poll(self) -> Outcome | None:
        """Return what has happened; `None` if nothing has. Enforces the deadline."""
        if self._is_over:
            return None
        if self._unsent is not None:
            return self._over(self._unsent)
        try:
            outcome = None if self._closed_at else self._received()
        except ViolationError as exc:
            return self._over(failures.violation(self.mod, f"{exc}", *self._where()))
        except EndOfStreamError:
            self._closed_at, outcome = time.monotonic(), None
        if outcome is not None:
            return outcome
        return self._ended() if self._closed_at else self._late()

    def _received(self) -> Outcome | None:
        message = self._stream.receive()
        if isinstance(message, replies.Up) and not self._is_up:
            self._is_up, self.layers = True, message.layers
            self.deadline = time.monotonic() + self._options.load_s
            message = self._stream.receive()
        if message is None:
            return None
        self._stream.check_empty()
        if self._paused is not None:
            raise ViolationError("sent more than one reply")
        return self._handled(message)

    def _handled(self, message: replies.FromWorker) -> Outcome:
        is_loading = self.info is None
        match message:
            case replies.SentReady() if is_loading:
                self.info = info_of(message)
                self._take(message.logs, message.shared)
                return Ready(self.info)
            case replies.SentDescription() if is_loading:
                self._take(message.logs, None)
                return described(message)
            case replies.SentUnready() if is_loading:
                self._take(message.logs, None)
                return self._failed(message.failure, ())
            case replies.Reply() if self._seq is not None and message.seq == self._seq:
                return self._replied(message)
            case replies.SentRead() if self._seq is not None and message.seq == self._seq:
                return self._reading(message)
            case _:
                raise ViolationError("sent a reply that nothing was asked for")

    def _replied(self, reply: replies.Reply) -> Outcome:
        memory = self._worker.memory
        results = results_of(reply.results, len(self._asks), memory, self._row_bytes)
        is_short = len(results) < len(self._asks) and not (results and results[-1].action)
        if is_short and reply.failure is None:
            raise ViolationError("left out the results of events")
        self._take(reply.logs, reply.shared)
        self._seq, self.deadline = None, math.inf
        if reply.failure is not None:
            return self._failed(reply.failure, results, can_finish=True)
        return Answered(results, reply.micros)

    def _reading(self, read: replies.SentRead) -> ReadRequested:
        self._num_reads += 1
        if self._num_reads > MAX_READS:
            raise ViolationError(
                f"read more than {MAX_READS} values at one event; declare what the mod reads, as "
                "in @mod(logits=8) or @mod(logits='full'), and it arrives with the event"
            )
        request = read_requested(read, len(self._asks))
        # The time that the engine takes for the value is not the mod's.
        self._paused, self.deadline = max(self.deadline - time.monotonic(), 0.0), math.inf
        return request

    def _take(self, logs: str, shared: replies.SentShared | None) -> None:
        room = _MAX_LOGS - self._num_logged
        if logs and room > 0:
            self._logs.append(logs[:room])
            self._num_logged += len(self._logs[-1])
        if shared is not None and self._mirror is not None:
            self._mirror.apply(SharedState(shared.holds, shared.writing))

    # The end

    def kill(self) -> None:
        """End the worker and release what it used. Does nothing the second time."""
        if not self._is_over:
            self._is_over = True
            self.deadline = math.inf
        self._worker.kill()
        self._worker.close()

    def _failed(
        self, failure: replies.SentFailure, results: tuple[Result, ...], *, can_finish: bool = False
    ) -> LeaseFailed:
        error = failures.error_of(failure, self.mod)
        # An event fails by the mod. A request is rejected, and a worker unfit, before the first.
        if error is None or (can_finish and not isinstance(error, ModError)):
            raise ViolationError(f"reported an error {failure.code!r:.80}")
        if not can_finish:
            self.kill()
        return LeaseFailed(error, failure.traceback, results, can_finish)

    def _over(self, error: ConcordanceError) -> LeaseFailed:
        self.kill()
        return LeaseFailed(error)

    def _late(self) -> LeaseFailed | None:
        if time.monotonic() <= self.deadline:
            return None
        if not self._is_up:
            return self._over(_not_started(self.mod, self._worker.error))
        event, step = self._where()
        options = self._options
        seconds = options.load_s if step is None else _seconds_for(self._asks, options)
        return self._over(failures.timeout(self.mod, event, step, seconds))

    def _ended(self) -> LeaseFailed | None:
        """Return how a worker ended that has closed its channel, once that is known."""
        assert self._closed_at is not None
        worker, closed_s = self._worker, time.monotonic() - self._closed_at
        if worker.error:
            return self._over(_not_started(self.mod, worker.error))
        if worker.is_lost:
            return self._over(failures.lost(self.mod, *self._where()))
        if worker.status is None and closed_s < _STATUS_S:
            if closed_s > _CLOSING_S and not self._is_closing and not worker.is_ending:
                self._is_closing = True
                worker.kill()
            return None
        if self._is_closing and worker.status in (None, -signal.SIGKILL):
            return self._over(failures.violation(self.mod, "closed its channel", *self._where()))
        return self._over(failures.death(self.mod, worker.status, *self._where()))

    def _where(self) -> tuple[str, int | None]:
        """Return the event that the mod handles, and its step; `None` while it is loaded."""
        if self.info is None:
            return "load", None
        if not self._asks:
            return "Prefilled", 0
        event = self._asks[0].event
        return type(event).__name__, event.step


def _seconds_for(asks: Sequence[Ask], options: SandboxOptions) -> float:
    """Return the time limit of the events of one message: the longest of theirs."""
    is_prefilled = any(isinstance(ask.event, Prefilled) for ask in asks)
    return options.prefilled_s if is_prefilled else options.event_s


def _not_started(mod: str, error: str) -> SandboxUnavailableError:
    return SandboxUnavailableError(
        f"the worker of mod {mod!r} was not started: {error or 'it was not up in time'}"
    )
