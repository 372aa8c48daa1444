"""Waits for the engine's updates of a request."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, cast

from concordance_shared import ConcordanceError
from msgspec import Struct

from concordance_inference.generation import Completed, Failed, Update
from concordance_inference.server.operations.request_record import current_record
from concordance_inference.server.transport.errors import unexpected

logger = logging.getLogger(__name__)

#: The response of a stream starts with the first token, so that an earlier failure has its own
#: HTTP status. A prompt that takes longer than this, in seconds, starts it anyway.
PATIENCE_S = 10.0


async def completed(updates: AsyncIterator[Update]) -> Completed:
    """Wait for the end of a request.

    Raises:
        ConcordanceError: It failed.
    """
    async with aclosing(cast(AsyncGenerator[Update], updates)):
        async for update in updates:
            current_record().see_first()
            if isinstance(update, Failed):
                current_record().failures.append(update)
                raise update.error
            if isinstance(update, Completed):
                return update
    raise AssertionError("the engine ends every request")


class Numbered(Struct, frozen=True, eq=False):
    """An update of one of several requests."""

    index: int
    update: Update


async def all_completed(requests: Sequence[AsyncIterator[Update]]) -> list[Completed]:
    """Wait for the end of several requests, which run together.

    Raises:
        ConcordanceError: One failed, of several at once the first; the others are cancelled.
    """
    tasks = [asyncio.ensure_future(completed(updates)) for updates in requests]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        return [task.result() for task in tasks if task in done]  # raises the first error
    finally:
        await _cancelled(tasks)


Batch = list[Numbered]


def merged(requests: Sequence[AsyncIterator[Update]]) -> AsyncGenerator[Batch]:
    """The updates of several requests, as they come, those that are there already together.

    The first failure is the last update; of several at once, that of the first request.
    """
    return _batches(0, requests[0]) if len(requests) == 1 else _merged(requests)


async def _merged(requests: Sequence[AsyncIterator[Update]]) -> AsyncGenerator[Batch]:
    queue: asyncio.Queue[Batch] = asyncio.Queue()
    tasks = [asyncio.ensure_future(_put(queue, i, updates)) for i, updates in enumerate(requests)]
    left = len(tasks)
    try:
        while left:
            batch = await queue.get()
            left -= isinstance(batch[-1].update, Completed)
            if _has_failed(batch):
                arrived = [batch, *(queue.get_nowait() for _ in range(queue.qsize()))]
                yield min(filter(_has_failed, arrived), key=lambda failed: failed[-1].index)
                return
            yield batch
    finally:
        await _cancelled(tasks)


def _has_failed(batch: Batch) -> bool:
    return isinstance(batch[-1].update, Failed)


async def _put(queue: "asyncio.Queue[Batch]", index: int, updates: AsyncIterator[Update]) -> None:
    async with aclosing(_batches(index, updates)) as batches:
        async for batch in batches:
            queue.put_nowait(batch)


async def _batches(index: int, updates: AsyncIterator[Update]) -> AsyncGenerator[Batch]:
    """The updates of a request; an error that it raises is a failure."""
    take: Callable[[], Sequence[Update]] = getattr(updates, "take", tuple)
    try:
        async with aclosing(cast(AsyncGenerator[Update], updates)):
            async for update in updates:
                yield [Numbered(index, update), *(Numbered(index, ready) for ready in take())]
    except ConcordanceError as exc:
        yield [Numbered(index, Failed(error=exc))]
    except Exception as exc:
        logger.exception("the engine raised")
        yield [Numbered(index, Failed(error=unexpected(exc)))]


async def _cancelled(tasks: "Sequence[asyncio.Future[Any]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def begun(batches: AsyncGenerator[Batch]) -> AsyncGenerator[Batch]:
    """Wait for the first update of a request, or of several; return all of the updates.

    Raises:
        ConcordanceError: It failed before its first token.
    """
    first = asyncio.ensure_future(anext(batches))
    try:
        await asyncio.wait({first}, timeout=PATIENCE_S)
    except asyncio.CancelledError:
        first.cancel()
        raise
    if first.done() and isinstance(failed := first.result()[0].update, Failed):
        current_record().failures.append(failed)
        raise failed.error
    return _with_first(first, batches)


async def _with_first(
    first: "asyncio.Future[Batch]", batches: AsyncGenerator[Batch]
) -> AsyncGenerator[Batch]:
    async with aclosing(batches):
        try:
            yield await first
            async for batch in batches:
                yield batch
        finally:
            first.cancel()
