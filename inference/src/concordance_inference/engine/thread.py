"""Runs an engine on a thread of its own, which exchanges plain data with other threads.

An mlx array can only be evaluated by the thread that built it, so the model is loaded, run and
freed on this thread, and no array leaves it.
"""

import asyncio
import itertools
import logging
import queue
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Self

import mlx.core as mx
import msgspec
from concordance_sdk.host.call_in_progress import CallInProgress
from concordance_shared import (
    EngineError,
    EngineOverloadedError,
    EngineStoppedError,
)
from msgspec import Struct

from concordance_inference.call_watchdog import (
    REPORT_AFTER_S,
    CallWatchdog,
    call_on,
    wait_unless_stuck,
)
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.metrics import MetricsSnapshot
from concordance_inference.engine.output.output_stream import Emit
from concordance_inference.engine.request.instances import READY_S, make_instances_within
from concordance_inference.engine.scheduling.admission import own_copy
from concordance_inference.engine.update_stream import Mailbox, UpdateStream
from concordance_inference.generation import (
    Completed,
    Failed,
    GenerationRequest,
    ModelInfo,
    Update,
)

if TYPE_CHECKING:
    from concordance_inference.engine.config import ModelTraits

logger = logging.getLogger(__name__)

#: Consecutive steps that raise before the engine stops instead of continuing.
MAX_FAILURES = 3

#: A handler that has not returned for this long, in seconds, keeps the engine from handling other
#: requests, and is not waited for when the engine is stopped.
STUCK_S = 3.0

#: Limit of calls between two steps.
_MAX_CALLS = 64


class Call(Struct, frozen=True, eq=False):
    """Code to run between two steps."""

    run: Callable[[Engine], None]
    refuse: Callable[[EngineError], None]  # called instead once the engine has stopped


#: Submit a request, cancel one by id, call code, or stop.
Message = tuple[GenerationRequest, Emit] | str | Call | None


class EngineThread:
    """An engine that any number of threads and event loops can use.

    `start` waits until the model is loaded; use it as a context manager or call `stop`.
    """

    def __init__(
        self, build: Callable[[], tuple[Engine, ModelInfo]], *, max_unfinished: int
    ) -> None:
        """Keep `build` for the engine's thread, which `start` starts.

        Args:
            build: Loads the model and makes the engine.
            max_unfinished: Maximum number of running and waiting requests.
        """
        self._build = build
        self._max_unfinished = max_unfinished
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._ready = threading.Event()
        self._model: ModelInfo | None = None
        self._engine: Engine | None = None
        self.traits: ModelTraits | None = None  # once started; any thread may read them
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._unfinished: dict[int, Emit] = {}
        self._keys = itertools.count()
        self._mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = (
            weakref.WeakKeyDictionary()
        )
        self._is_stopping = False
        self._watchdog = CallWatchdog(self._thread)
        self.is_abandoned = False  # a mod's handler did not return when the engine was stopped

    @property
    def model(self) -> ModelInfo:
        """The served model."""
        assert self._model is not None, "started"
        return self._model

    @property
    def is_running(self) -> bool:
        """True if the engine accepts requests."""
        return self._thread.is_alive() and not self._is_stopping

    @property
    def num_unfinished(self) -> int:
        """Number of running and waiting requests."""
        return len(self._unfinished)

    @property
    def stuck_call(self) -> CallInProgress | None:
        """The call of a mod's code that has kept the engine from all requests for a second."""
        return call_on(self._thread, longer_than_s=REPORT_AFTER_S)

    @property
    def is_stuck(self) -> bool:
        """True if a mod's code has kept the engine from all requests for `STUCK_S`."""
        return call_on(self._thread, longer_than_s=STUCK_S) is not None

    def metrics(self) -> MetricsSnapshot:
        """Return a copy of the engine's metrics."""
        assert self._engine is not None, "started"
        return self._engine.metrics()

    def start(self) -> Self:
        """Start the thread and wait for the model.

        Raises:
            BaseException: The error raised by `build`.
        """
        self._thread.start()
        self._ready.wait()
        if self._failure:
            self._thread.join()  # a process that exits while the thread frees arrays is aborted
            raise self._failure
        self._watchdog.start()
        return self

    def stop(self) -> None:
        """End all requests with an error, then the thread.

        Does not join a thread on which a handler of a mod does not return (`is_abandoned`).
        """
        self._is_stopping = True
        self._inbox.put(None)
        self._watchdog.stop()
        # A mod, or the garbage collector while a mod runs, may call this on the engine's thread.
        if self.is_abandoned or threading.current_thread() is self._thread:
            return
        if call := wait_unless_stuck(self._thread, longer_than_s=STUCK_S):
            self._abandon(call)

    def _abandon(self, call: CallInProgress) -> None:
        """End all requests although the engine's thread is in a mod's code."""
        self.is_abandoned = True
        logger.error("the engine is stopped without its thread: %s", call)
        with self._lock:
            emits = list(self._unfinished.values())
            self._unfinished.clear()
        error = EngineStoppedError(f"the engine is stopping, and {call}")
        for emit in emits:
            emit(Failed(error=own_copy(error)))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        """Hand over a request; `emit` is called on the engine's thread with its updates.

        Raises:
            EngineOverloadedError: `max_unfinished` requests run or wait.
            EngineStoppedError: The engine has stopped.
            EngineError: A handler of a mod calls this: the engine would wait for itself.
        """
        if threading.current_thread() is self._thread:
            raise EngineError(
                "a mod's handler runs on the engine's thread and cannot generate with this model: "
                "the engine would wait for itself; use a self-prompt or a flow, or generate before "
                "the request"
            )
        with self._lock:  # against `stop` in between: accepted requests get their `Failed`
            if not self.is_running:
                raise EngineStoppedError("the engine has stopped and takes no requests")
            if self.num_unfinished >= self._max_unfinished:
                raise EngineOverloadedError(
                    f"{self.num_unfinished} requests run or wait already, which is the most that "
                    "this server takes; try again later"
                )
            self._inbox.put((request, self._counting(emit)))

    def _counting(self, emit: Emit) -> Emit:
        """Wrap `emit` to count the request as unfinished until it ends, which it does once."""
        key = next(self._keys)
        self._unfinished[key] = emit

        def count_and_emit(update: Update) -> None:
            with self._lock:
                if key not in self._unfinished:
                    return  # the engine was stopped without its thread
                if isinstance(update, Completed | Failed):
                    del self._unfinished[key]
            emit(update)

        return count_and_emit

    def cancel(self, request_id: str) -> None:
        """End a request whose client has left."""
        self._inbox.put(request_id)

    def call(self, run: Callable[[Engine], None], refuse: Callable[[EngineError], None]) -> None:
        """Run code between two steps, on the engine's thread.

        Args:
            run: The code.
            refuse: Called instead if the engine has stopped.
        """
        with self._lock:
            if self.is_running:
                self._inbox.put(Call(run, refuse))
                return
        refuse(EngineStoppedError("the engine has stopped"))

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        """Create the instances of a request's mods on the calling thread.

        Otherwise the engine creates them between two steps, when the request gets a row.

        Raises:
            ModError: A mod raised, or was not ready in time.
            RequestError: A mod rejects the request.
        """
        if not request.mods:
            return request
        assert self._engine is not None, "started"
        instances = make_instances_within(READY_S, request, self._engine.traits)
        return msgspec.structs.replace(request, instances=instances)

    def generate(self, request: GenerationRequest) -> UpdateStream:
        """Run a request; updates come as they happen, `Completed` or `Failed` last.

        Iterating raises `EngineOverloadedError` if `max_unfinished` requests run or wait, and
        `EngineStoppedError` if the engine has stopped. Closing the iterator cancels the request.
        """
        return UpdateStream(request, self._submit_to_loop, self.cancel)

    def _submit_to_loop(self, request: GenerationRequest, receive: Emit) -> None:
        """Submit a request whose updates are received on the event loop that runs."""
        loop = asyncio.get_running_loop()
        mailbox = self._mailboxes.get(loop)
        if mailbox is None:
            mailbox = self._mailboxes[loop] = Mailbox(loop)
        self.submit(request, partial(mailbox.post, receive))

    # On the engine's thread

    def _run(self) -> None:
        try:
            self._build_and_serve()
        finally:
            mx.synchronize()
            mx.clear_streams()  # a thread that exits with streams of its own aborts the process

    def _build_and_serve(self) -> None:
        try:
            self._engine, self._model = self._build()
            self.traits = self._engine.traits
        except BaseException as exc:  # `start` raises it
            self._failure = exc
            return
        finally:
            self._ready.set()
        try:
            self._serve(self._engine)
        finally:
            with self._lock:
                self._is_stopping = True
            self._reject_inbox()

    def _serve(self, engine: Engine) -> None:
        """Step while there is work and block while there is none, until a stop message."""
        failures = 0
        while failures < MAX_FAILURES:
            try:
                if not _take_messages(self._inbox, engine):
                    break
                engine.step()
                failures = 0
            except BaseException as exc:  # Rust's panics are not an `Exception`
                failures += 1
                logger.exception("the engine raised; every request ends with an error")
                engine.fail_all(_broken(exc))
        engine.fail_all(EngineStoppedError("the engine is stopping"))

    def _reject_inbox(self) -> None:
        while not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, Call):
                message.refuse(EngineStoppedError("the engine has stopped"))
            elif isinstance(message, tuple):
                message[1](Failed(error=EngineStoppedError("the engine has stopped")))


def _take_messages(inbox: "queue.SimpleQueue[Message]", engine: Engine) -> bool:
    """Handle messages, blocking if there is no work; return False for a stop message."""
    num_calls = 0
    while not engine.has_work or not inbox.empty():
        try:
            message = inbox.get(timeout=engine.control.next_s)
        except queue.Empty:
            message = Call(lambda engine: engine.control.expire(), _ignore)
        if message is None:
            return False
        if isinstance(message, str):
            engine.cancel(message)
        elif isinstance(message, Call):
            message.run(engine)
            num_calls += 1
            if num_calls >= _MAX_CALLS and engine.has_work:
                break
        else:
            engine.submit(*message)
    if engine.control.next_s == 0:
        engine.control.expire()
    return True


def _ignore(error: EngineError) -> None:
    """Do nothing."""


def _broken(exc: BaseException) -> EngineError:
    error = EngineError(f"the engine failed in a step: {type(exc).__name__}: {exc}")
    error.__cause__ = exc
    return error
