"""Limits of the queue besides its length: of each owner, and of time."""

import time

from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.metrics import Metrics
from concordance_inference.engine.scheduling.overload import (
    QueueTimeoutError,
    owner_waits,
    retry_after_s,
    waited_too_long,
)
from concordance_inference.engine.scheduling.waiting_queue import Waiting, WaitingQueue
from concordance_inference.generation import GenerationRequest

#: Seconds between two looks for requests that have waited for too long.
LOOK_S = 0.25


class QueueLimits:
    """Finds the requests that may not wait, or not any longer."""

    def __init__(self, queue: WaitingQueue, config: EngineConfig, metrics: Metrics) -> None:
        """Limit a queue.

        Args:
            queue: The queue.
            config: The limits.
            metrics: They have the mean time of requests, from which `Retry-After` follows.
        """
        self._queue = queue
        self._config = config
        self._metrics = metrics
        self._looked_at = 0.0  # by `time.monotonic`

    def check(self, request: GenerationRequest, *, num_running: int) -> None:
        """Refuse a request whose owner has enough that wait, besides those with a free row.

        Raises:
            EngineOverloadedError: It has.
        """
        most = self._config.max_waiting_per_owner
        if most is None or not request.owner:
            return
        num_free = max(0, self._config.max_rows - num_running)
        if self._queue.num_of_owner(request) >= most + num_free:
            raise owner_waits(most, self._retry_after_s())

    def take_late(self) -> list[tuple[Waiting, QueueTimeoutError]]:
        """Remove and return the requests that have waited for too long, each with its error."""
        limit_s, now = self._config.queue_s, time.monotonic()
        if limit_s is None or now < self._looked_at + min(LOOK_S, limit_s):
            return []
        self._looked_at = now
        late = self._queue.not_begun(before=now - limit_s)
        for waiting in late:
            self._queue.remove(waiting.request.request_id)
        return [(waiting, waited_too_long(limit_s, self._retry_after_s())) for waiting in late]

    def _retry_after_s(self) -> int:
        return retry_after_s(
            self._metrics.mean_service_s,
            num_waiting=len(self._queue),
            num_rows=self._config.max_rows,
        )
