"""The generating HTTP requests that have not ended, by the ids with which clients address them."""

import asyncio
import re
import time
from collections.abc import Sequence

from concordance_shared import ConcordanceError, ConflictError, EngineStoppedError, FinishReason

from concordance_inference.caller import current_owner, may_see, owned_ids
from concordance_inference.control import ControlClient, UnknownRequestError
from concordance_inference.generation import (
    Completed,
    EngineClient,
    Failed,
    GenerationRequest,
    Update,
)
from concordance_inference.server.limits import RequestTimeLimitError

#: What completion ids have before the id of the request.
_PREFIX = re.compile(r"(?:chatcmpl-|cmpl-|resp_|msg_)")


class RequestCancelledError(ConflictError):
    """A request was cancelled by id."""

    code = "request_cancelled"

    def __init__(self, request_id: str) -> None:
        """Name the request."""
        super().__init__(f"the request {request_id!r} was cancelled through /v1/requests")


class RunningRequest:
    """An HTTP request that generates, or is read.

    Attributes:
        id: Its id, which the client may have chosen.
        owner: Who may see and control it.
        path: Its route.
        created: When it arrived, in Unix time.
        ended_by: Why it was ended before its time.
        is_detached: True if it runs without its connection.
    """

    def __init__(self, request_id: str, path: str) -> None:
        """Start a request of which nothing is read."""
        self.id = request_id
        self.owner = current_owner()
        self.path = path
        self.created = time.time()
        self.ended_by: ConcordanceError | None = None
        self.is_detached = False
        self.timer: asyncio.TimerHandle | None = None
        self.generations: Sequence[GenerationRequest] = ()
        self.engine: EngineClient | None = None

    @property
    def control(self) -> ControlClient:
        """The engine that runs it.

        Raises:
            ConflictError: It is still being read.
        """
        if self.engine is None:
            raise ConflictError(f"the request {self.id!r} is still being read; try again")
        return self.engine.control

    @property
    def is_cancelled(self) -> bool:
        """True if it was ended, by id or by its time limit."""
        return self.ended_by is not None

    def run(self, engine: EngineClient, generations: Sequence[GenerationRequest]) -> None:
        """Record what is generated for it.

        Raises:
            ConcordanceError: It was cancelled while it was read, or took too long.
        """
        if self.ended_by is not None:
            raise self.ended_by
        self.engine, self.generations = engine, generations

    def cancel(self, error: ConcordanceError | None = None) -> None:
        """End all that is generated for it.

        Args:
            error: The error for its client; by default, that it was cancelled by id.
        """
        if self.ended_by is None:
            self.ended_by = RequestCancelledError(self.id) if error is None else error
        if self.engine is not None:
            for generation in self.generations:
                self.engine.control.cancel(generation.request_id)

    def check(self, ends: Sequence[Completed]) -> None:
        """Refuse to respond with a completion that was cancelled.

        Raises:
            ConcordanceError: It was cancelled before it ended, or took too long.
        """
        if self.ended_by is not None and any(_was_cancelled(end) for end in ends):
            raise self.ended_by

    def seen(self, update: Update) -> Update:
        """Replace an update that says that the request was cancelled by an error that does."""
        if self.ended_by is None or not _was_cancelled(update):
            return update
        return Failed(error=self.ended_by)

    def error(self, exc: ConcordanceError) -> ConcordanceError:
        """Return the error for the client: the engine names no reason for cancelling."""
        is_ours = isinstance(exc, EngineStoppedError)
        return self.ended_by if is_ours and self.ended_by is not None else exc


class RunningRequests:
    """The generating requests of one application. Belongs to its event loop."""

    def __init__(self) -> None:
        """Start without one."""
        self._by_id: dict[str, RunningRequest] = {}

    def begin(self, request_id: str, path: str, *, limit_s: float | None = None) -> RunningRequest:
        """Add a request.

        Args:
            request_id: Its id.
            path: Its route.
            limit_s: Seconds after which it ends with an error, however far it is.

        Raises:
            ConflictError: A running request has the id.
        """
        if request_id in self._by_id:
            raise ConflictError(
                f"X-Request-Id: a request {request_id!r} is running; choose another id, or none",
                param="X-Request-Id",
            )
        running = self._by_id[request_id] = RunningRequest(request_id, path)
        if limit_s is not None:
            loop, error = asyncio.get_running_loop(), RequestTimeLimitError(limit_s)
            running.timer = loop.call_later(limit_s, running.cancel, error)
        return running

    def end(self, running: RunningRequest) -> None:
        """Remove a request."""
        if running.timer is not None:
            running.timer.cancel()
        for generation in running.generations:
            if generation.recorder is not None:
                generation.recorder.close()
        if self._by_id.get(running.id) is running:
            del self._by_id[running.id]

    def all(self) -> list[RunningRequest]:
        """The requests that the present caller may see, oldest first."""
        return [each for each in self._by_id.values() if may_see(each.owner)]

    def find(self, request_id: str) -> RunningRequest | None:
        """Return the request of an id, if it runs and the present caller may see it.

        Any thread may call this.
        """
        found = self._by_id.get(request_id)
        return found if found and may_see(found.owner) else None

    def named(self, name: str) -> RunningRequest:
        """Return the request of an id, or of the id of its completion.

        Raises:
            UnknownRequestError: There is none.
        """
        names = (*owned_ids(name), *owned_ids(_PREFIX.sub("", name, count=1)))
        found = next(filter(None, map(self.find, names)), None)
        if found is None:
            raise UnknownRequestError(
                f"there is no running request {name!r:.140}; GET /v1/requests lists them"
            )
        return found


def _was_cancelled(update: object) -> bool:
    if isinstance(update, Completed):
        return update.finish_reason is FinishReason.CANCELLED
    return isinstance(update, Failed) and isinstance(update.error, EngineStoppedError)
