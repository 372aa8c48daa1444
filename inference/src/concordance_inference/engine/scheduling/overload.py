"""Errors of requests for which there is no room, and when they may be sent again."""

from typing import ClassVar

from concordance_shared import EngineError, EngineOverloadedError

#: Bounds of `Retry-After`, in seconds.
MIN_RETRY_S, MAX_RETRY_S = 1, 60


class QueueTimeoutError(EngineError):
    """A request has waited for a row for as long as the server lets it."""

    status_code: ClassVar[int] = 503
    type: ClassVar[str] = "overloaded"
    code: ClassVar[str] = "queue_timeout"
    retry_after_s: float = MIN_RETRY_S


def retry_after_s(mean_s: float, *, num_waiting: int, num_rows: int) -> int:
    """Return when a request may find room: when those that wait have run, in whole seconds.

    Args:
        mean_s: How long requests have taken on average; see `mean_service_s`.
        num_waiting: How many wait.
        num_rows: How many run together.
    """
    return min(MAX_RETRY_S, max(MIN_RETRY_S, round(num_waiting * mean_s / num_rows)))


def queue_is_full(num_unfinished: int, retry_s: float) -> EngineOverloadedError:
    """Make the error of a request for which the queue has no room."""
    return _overloaded(
        f"{num_unfinished} requests run or wait already, which is the most that this server takes",
        retry_s,
    )


def owner_waits(num_waiting: int, retry_s: float) -> EngineOverloadedError:
    """Make the error of a request whose owner has enough that wait."""
    return _overloaded(
        f"{num_waiting} requests of your key wait already, which is the most of one key", retry_s
    )


def waited_too_long(limit_s: float, retry_s: float) -> QueueTimeoutError:
    """Make the error of a request that has waited for `limit_s`."""
    error = QueueTimeoutError(
        f"the request waited for {limit_s:g} s until a row is free, which is the limit of this "
        f"server; try again in {retry_s:.0f} s"
    )
    error.retry_after_s = retry_s
    return error


def _overloaded(what: str, retry_s: float) -> EngineOverloadedError:
    error = EngineOverloadedError(f"{what}; try again in {retry_s:.0f} s")
    error.retry_after_s = retry_s
    return error
