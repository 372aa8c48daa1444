"""The requests that wait for a row. No arrays."""

import time
from collections.abc import Iterator, Sequence

from concordance_shared import InvalidRequestError
from msgspec import Struct
from msgspec.structs import replace

from concordance_inference.engine.caches.budget import KvBudget
from concordance_inference.engine.output.output_stream import Emit
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.scheduling.owner_turns import FRONT, OwnerTurns, Place
from concordance_inference.generation import GenerationRequest


class Waiting(Struct, frozen=True, eq=False):
    """A request that waits for a row of the batch.

    Mods may make a request longer than it was admitted for: by a longer prompt before it runs, or
    by a forced output whose log-probabilities are still to be computed. Such a request waits
    again, with its row.
    """

    request: GenerationRequest
    emit: Emit
    since: float  # by `time.monotonic`, in seconds
    row: Row | None = None  # once its mods have seen the prompt


class WaitingQueue:
    """Requests in the order of `OwnerTurns`, which run when rows and memory are free."""

    def __init__(self, budget: KvBudget, *, max_rows: int) -> None:
        """Make an empty queue.

        Args:
            budget: The memory for caches.
            max_rows: Rows that run together, at most.
        """
        self._budget = budget
        self._max_rows = max_rows
        self._waiting = OwnerTurns()
        self._paused: dict[str, Waiting] = {}  # by id; they wait for a command, not for a row

    def __len__(self) -> int:
        return len(self._waiting)

    def check(self, request: GenerationRequest) -> None:
        """Reject a request that can never run.

        Raises:
            InvalidRequestError: The prompt has no token from which the model could continue.
            ContextLengthError: It would need more memory than there is for caches.
        """
        if not request.prompt_ids:
            raise InvalidRequestError(
                "the prompt has no tokens: the model needs at least one to continue from"
            )
        self._budget.check_prompt(request.num_given)

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        """Add a request after those of its owner."""
        self._waiting.append(Waiting(request, emit, time.monotonic()))

    def wait_again(self, waiting: Waiting, place: Place = FRONT) -> None:
        """Put a request back: at the front, or at the place that `take` has returned."""
        self._waiting.insert(waiting, place)

    @property
    def everything(self) -> list[Waiting]:
        """The requests that wait for a row, then those that are paused."""
        return [*self._waiting, *self._paused.values()]

    def find(self, request_id: str) -> Waiting | None:
        """Return a waiting or paused request by its id."""
        if request_id in self._paused:
            return self._paused[request_id]
        return next((w for w in self._waiting if w.request.request_id == request_id), None)

    def remove(self, request_id: str) -> Waiting | None:
        """Remove a waiting or paused request by its id; None if there is none."""
        found = self.find(request_id)
        if found and self._paused.pop(request_id, None) is None:
            self._waiting.remove(found)
        return found

    def num_of_owner(self, request: GenerationRequest) -> int:
        """Count the requests of clients that wait and are of the owner of a request.

        The completions that one request asks for are one, and it is not counted itself.
        """
        own = self._waiting.of_owner(request.owner)
        if not own or _client_id(own[-1].request) == _client_id(request):
            return 0
        return len({_client_id(each.request) for each in own})

    def not_begun(self, *, before: float) -> list[Waiting]:
        """Return the requests that have waited since a time, and have never had a row."""
        return [
            waiting
            for waiting in self._waiting
            if waiting.since < before
            and (waiting.row is None or waiting.row.admitted_length is None)
        ]

    def put(self, waiting: Waiting, row: Row) -> None:
        """Keep the row of a request that waits for another one."""
        self._waiting.replace(waiting, replace(waiting, row=row))

    def pause(self, row: Row) -> None:
        """Keep a request that has left the batch until it is resumed."""
        waiting = Waiting(row.request, row.emit, time.monotonic(), row)
        self._paused[row.request.request_id] = waiting

    def sort(self, row: Row) -> None:
        """Move a request that was paused while it waited, or that was resumed.

        A resumed request is the next that gets a row.
        """
        waiting = self.find(row.request.request_id)
        was_paused = row.request.request_id in self._paused
        if waiting is None or row.is_paused == was_paused:
            return
        self.remove(row.request.request_id)
        if row.is_paused:
            self._paused[row.request.request_id] = waiting
        else:
            self.wait_again(waiting)

    def drain(self) -> list[Waiting]:
        """Remove and return all."""
        waiting = self.everything
        self._waiting.clear()
        self._paused.clear()
        return waiting

    def candidates(self, lengths: Sequence[int]) -> Iterator[Waiting]:
        """Yield the requests that could run beside rows that grow to `lengths`, in order.

        Stops at the first that does not fit: a large request is never overtaken for lack of
        memory, or small ones could keep it waiting forever. One whose mods still have to answer
        is overtaken. The caller may skip a candidate, and removes the one that it takes, which
        ends the iteration.
        """
        if len(lengths) >= self._max_rows:
            return
        for waiting in self._waiting:
            if not self._budget.fits([*lengths, self._max_length(waiting)]):
                return
            if waiting.row is None or not waiting.row.calls.is_parked:
                yield waiting

    def with_fitting(self, lengths: Sequence[int]) -> list[int]:
        """Return the lengths of rows, and of all that could run beside them together, in order."""
        found = list(lengths)
        for waiting in self._waiting:
            longer = [*found, self._max_length(waiting)]
            if len(longer) > self._max_rows or not self._budget.fits(longer):
                break
            found = longer
        return found

    def count_alike(self, request: GenerationRequest) -> int:
        """Count the requests with the prompt and the salt of a request, itself among them."""
        return sum(
            waiting.request.prompt_ids == request.prompt_ids
            and waiting.request.prefix_salt == request.prefix_salt
            for waiting in self._waiting
        )

    def take(self, waiting: Waiting) -> Place:
        """Remove a candidate; return its place."""
        return self._waiting.take(waiting)

    def _max_length(self, waiting: Waiting) -> int:
        """The length that a request can grow to, prompt and completion together."""
        if waiting.row:
            return waiting.row.state.max_length
        request = waiting.request
        return self._budget.length_of(request.num_counted, request.max_tokens)


def _client_id(request: GenerationRequest) -> str:
    """The id of the client's request, which may ask for several completions."""
    return request.request_id.partition(" ")[0]
