"""Which requests run, and how much of their prompts a step reads. No arrays."""

import time
from collections import deque
from collections.abc import Callable, Sequence

from concordance_shared import ContextLengthError, InvalidRequestError
from msgspec import Struct

from concordance_inference.engine.caches.budget import KvBudget
from concordance_inference.engine.output.output_stream import Emit
from concordance_inference.engine.plan import PassCost, RowDemand, StepPlan
from concordance_inference.engine.request.row import Row
from concordance_inference.generation import GenerationRequest

#: However slow a model is, a step reads so many tokens of prompts, or they would never end. Behind
#: 2,300 positions, 16 tokens took a CPU 0.3 s beside a row that decodes, and 4 take 0.2 s.
_MIN_CHUNK = 4

#: How fast what a step takes changes what is expected of the next: one step alone tells little.
_LEARNING_RATE = 0.25

#: By what factor the cost that was measured can be wrong.
_MOST_WRONG = 16.0


class Waiting(Struct, frozen=True, eq=False):
    """A request that waits for its place in the batch.

    Mods may make a request longer than it was admitted for: by a longer prompt before it runs, or
    by a forced output whose log-probabilities are still to be computed. Such a request waits
    again, with its row.
    """

    request: GenerationRequest
    emit: Emit
    since: float  # as `time.monotonic` tells it, in seconds
    row: Row | None = None  # once its mods have seen the prompt


class WaitingQueue:
    """Admits requests in the order in which they came, as far as rows and memory go."""

    def __init__(self, budget: KvBudget, *, max_rows: int) -> None:
        """Begin with nobody waiting.

        Args:
            budget: The memory for caches.
            max_rows: How many requests run together at most.
        """
        self._budget = budget
        self._max_rows = max_rows
        self._waiting: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def check(self, request: GenerationRequest) -> None:
        """Refuse what can never run.

        Raises:
            InvalidRequestError: The prompt has no token from which the model could continue.
            ContextLengthError: It would need more memory than there is for caches.
        """
        prompt_len = len(request.prompt_ids)
        if not prompt_len:
            raise InvalidRequestError(
                "the prompt has no tokens: the model needs at least one to continue from"
            )
        if prompt_len >= self._budget.longest:
            raise ContextLengthError(
                f"a prompt of {prompt_len} tokens leaves no room in the memory for caches, which "
                f"holds {self._budget.longest}; shorten it, or give the server more with "
                "--kv-memory"
            )

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        """Let a request wait."""
        self._waiting.append(Waiting(request, emit, time.monotonic()))

    def wait_again(self, waiting: Waiting) -> None:
        """Put a request that needs more memory than there is now before all others."""
        self._waiting.appendleft(waiting)

    def remove(self, request_id: str) -> Waiting | None:
        """Take a request out that waits no longer."""
        found = next((w for w in self._waiting if w.request.request_id == request_id), None)
        if found:
            self._waiting.remove(found)
        return found

    def drain(self) -> list[Waiting]:
        """Take all out."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def next(
        self, lengths: Sequence[int], should_wait: Callable[[Waiting], bool]
    ) -> Waiting | None:
        """The next request to run beside rows that can grow to `lengths`, if one can.

        Nobody is overtaken for want of memory; one that had better wait for what another is
        reading lets others pass.
        """
        if len(lengths) >= self._max_rows:
            return None
        for waiting in self._waiting:
            if not self._budget.fits([*lengths, self._max_length(waiting)]):
                return None
            if not should_wait(waiting):
                self._waiting.remove(waiting)
                return waiting
        return None

    def _max_length(self, waiting: Waiting) -> int:
        """The length that a request can grow to, prompt and completion together."""
        if waiting.row:
            return waiting.row.max_length
        request = waiting.request
        return self._budget.length_of(len(request.prompt_ids), request.max_tokens)


class ChunkSizer:
    """How many known tokens a step reads, so that those who decode are not held up.

    What a pass costs was measured when the model was loaded. What steps really take is learned
    from those that read several tokens of a row beside others: the machine may have been busy
    then, or be now.
    """

    def __init__(
        self, cost: PassCost, *, max_chunk: int, target_s: float, learns: bool = False
    ) -> None:
        """Set a pace.

        Args:
            cost: What a forward pass costs, in seconds.
            max_chunk: How many known tokens a step reads at most.
            target_s: How long a step in which others decode should take at most, in seconds.
            learns: Whether `cost` is to be corrected by what steps take.
        """
        self._cost = cost
        self._max_chunk = max_chunk
        self._target_s = target_s
        self._learns = learns
        self._slowness = 1.0  # how many times as long as told by `cost` a step takes
        self._is_shared = False  # whether the step reads several tokens of a row beside others

    def chunk(self, rows: Sequence[RowDemand]) -> int:
        """How many known tokens to read in a step, of prompts and of what mods forced."""
        active = [row for row in rows if row.is_active]
        decoding = [row.num_cached for row in active if len(row.token_ids) <= 1]
        reading = [row.num_cached for row in active if len(row.token_ids) > 1]
        self._is_shared = bool(decoding and reading)
        if not decoding:
            return self._max_chunk
        target = self._target_s / self._slowness
        left = target - self._cost.of(len(decoding), 1, max(decoding) + 1)
        num_tokens = self._cost.tokens_in(left, max(reading, default=0))
        return max(min(_MIN_CHUNK, self._max_chunk), min(self._max_chunk, num_tokens))

    def learn(self, plan: StepPlan, seconds: float) -> None:
        """See what the step took; only those that read several tokens beside others count."""
        if self._learns and self._is_shared and plan.passes:
            ratio = seconds / plan.cost(self._cost) / self._slowness
            slowness = self._slowness * min(2.0, max(0.5, ratio)) ** _LEARNING_RATE
            self._slowness = min(_MOST_WRONG, max(1 / _MOST_WRONG, slowness))
