"""Waits for the engine's updates of a request."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, cast

from concordance_shared import ConcordanceError, EngineError
from msgspec import Struct

from concordance_inference.generation import Completed, Failed, Update

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
            if isinstance(update, Failed):
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
        ConcordanceError: One failed; the others are cancelled.
    """
    tasks = [asyncio.ensure_future(completed(updates)) for updates in requests]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await _cancelled(tasks)


async def merged(requests: Sequence[AsyncIterator[Update]]) -> AsyncGenerator[Numbered]:
    """The updates of several requests, as they come. The first failure is the last update."""
    queue: asyncio.Queue[Numbered] = asyncio.Queue()
    tasks = [asyncio.ensure_future(_put(queue, i, updates)) for i, updates in enumerate(requests)]
    left = len(tasks)
    try:
        while left:
            numbered = await queue.get()
            left -= isinstance(numbered.update, Completed)
            yield numbered
            if isinstance(numbered.update, Failed):
                return
    finally:
        await _cancelled(tasks)


async def _put(
    queue: "asyncio.Queue[Numbered]", index: int, updates: AsyncIterator[Update]
) -> None:
    """Put the updates of a request into a queue; an error that it raises is a failure."""
    try:
        async with aclosing(cast(AsyncGenerator[Update], updates)):
            async for update in updates:
                queue.put_nowait(Numbered(index, update))
    except ConcordanceError as exc:
        queue.put_nowait(Numbered(index, Failed(error=exc)))
    except Exception as exc:
        logger.exception("the engine raised")
        error = EngineError(f"the engine failed with {type(exc).__name__}")
        queue.put_nowait(Numbered(index, Failed(error=error)))


async def _cancelled(tasks: "Sequence[asyncio.Future[Any]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


AnyUpdate = TypeVar("AnyUpdate", bound=Update | Numbered)


async def begun(updates: AsyncIterator[AnyUpdate]) -> AsyncGenerator[AnyUpdate]:
    """Wait for the first update of a request, or of several; return all of the updates.

    Raises:
        ConcordanceError: It failed before its first token.
    """
    first = asyncio.ensure_future(anext(updates))
    try:
        await asyncio.wait({first}, timeout=PATIENCE_S)
    except asyncio.CancelledError:
        first.cancel()
        raise
    if first.done():
        update = first.result()
        if isinstance(update, Numbered):
            update = update.update
        if isinstance(update, Failed):
            raise update.error
    return _with_first(first, updates)


async def _with_first(
    first: "asyncio.Future[AnyUpdate]", updates: AsyncIterator[AnyUpdate]
) -> AsyncGenerator[AnyUpdate]:
    async with aclosing(cast(AsyncGenerator[AnyUpdate], updates)):
        try:
            yield await first
            async for update in updates:
                yield update
        finally:
            first.cancel()
