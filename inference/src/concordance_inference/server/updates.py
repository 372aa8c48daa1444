"""Waits for the engine's updates of a request."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

from concordance_inference.generation import Completed, Failed, Update

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


async def begun(updates: AsyncIterator[Update]) -> AsyncGenerator[Update]:
    """Wait for a request's first update; return all of its updates.

    Raises:
        ConcordanceError: It failed before its first token.
    """
    first = asyncio.ensure_future(anext(updates))
    try:
        await asyncio.wait({first}, timeout=PATIENCE_S)
    except asyncio.CancelledError:
        first.cancel()
        raise
    if first.done() and isinstance(update := first.result(), Failed):
        raise update.error
    return _with_first(first, updates)


async def _with_first(
    first: "asyncio.Future[Update]", updates: AsyncIterator[Update]
) -> AsyncGenerator[Update]:
    async with aclosing(cast(AsyncGenerator[Update], updates)):
        try:
            yield await first
            async for update in updates:
                yield update
        finally:
            first.cancel()
