"""Streams of the Python API: the text of one request as it is generated, then its completion."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from concordance_shared import ConcordanceError, InvalidRequestError, ModReport

from concordance_inference.completion import Completion, CompletionBuilder
from concordance_inference.generation import Failed, GenerationRequest, TextDelta, Update

if TYPE_CHECKING:
    from concordance_inference.runtime import Runtime


class CompletionStream:
    """An iterator over the text of one request, as `TextDelta`s.

    `reports` grows by what mods report while the stream is read. `result` waits for the end and
    returns the `Completion`. Closing or dropping the stream cancels the request.
    """

    def __init__(
        self, owner: object, runtime: "Runtime", request: GenerationRequest | ConcordanceError
    ) -> None:
        """Submit the request; an error is raised where the completion would be."""
        self._owner = owner  # the `LLM`, which stops its engine when it is dropped
        self._error = request if isinstance(request, ConcordanceError) else None
        self.reports: Sequence[ModReport] = ()
        if isinstance(request, GenerationRequest):
            self._builder = CompletionBuilder(request)
            self.reports = self._builder.reports
            self._updates = runtime.submit(request)

    def __iter__(self) -> Iterator[TextDelta]:
        return self

    def __next__(self) -> TextDelta:
        """Wait for more text.

        Raises:
            ConcordanceError: The request failed.
        """
        if self._error is not None:
            raise self._error
        try:
            for update in self._updates:
                if delta := self._builder.add(update):
                    return delta
        except ConcordanceError as exc:
            self._error = exc
            raise
        raise StopIteration

    def result(self) -> Completion:
        """Wait for the end.

        Raises:
            ConcordanceError: The request failed, or the stream was closed before the end.
        """
        for _ in self:
            pass
        return _ended(self._builder)

    def close(self) -> None:
        """Cancel the request unless it has ended."""
        if self._error is None:
            self._updates.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncCompletionStream:
    """As `CompletionStream`, for an event loop: `async for`, `await result()`, `aclose()`."""

    def __init__(
        self, owner: object, runtime: "Runtime", request: GenerationRequest | ConcordanceError
    ) -> None:
        """Start the request; an error is raised where the completion would be."""
        self._owner = owner  # the `LLM`, which stops its engine when it is dropped
        self._error = request if isinstance(request, ConcordanceError) else None
        self.reports: Sequence[ModReport] = ()
        self._first: asyncio.Future[Update] | None = None
        self._is_reading = False
        if isinstance(request, GenerationRequest):
            self._builder = CompletionBuilder(request)
            self.reports = self._builder.reports
            self._cancel = lambda: runtime.control.cancel(request.request_id)
            self._updates = runtime.generate(request)
            # An async generator runs, and so submits, only once it is awaited.
            self._first = asyncio.ensure_future(anext(self._updates))

    def __aiter__(self) -> AsyncIterator[TextDelta]:
        return self

    async def __anext__(self) -> TextDelta:
        """Wait for more text.

        Raises:
            ConcordanceError: The request failed.
        """
        if self._error is not None:
            raise self._error
        try:
            while True:
                if delta := self._builder.add(await self._next()):
                    return delta
        except ConcordanceError as exc:
            self._error = exc
            raise

    async def _next(self) -> Update:
        first, self._first = self._first, None
        self._is_reading = True
        try:
            update = await (first or anext(self._updates))
        finally:
            self._is_reading = False
        if isinstance(update, Failed):
            raise update.error
        return update

    async def result(self) -> Completion:
        """Wait for the end.

        Raises:
            ConcordanceError: The request failed, or the stream was closed before the end.
        """
        async for _ in self:
            pass
        return _ended(self._builder)

    async def aclose(self) -> None:
        """Cancel the request unless it has ended."""
        first, self._first = self._first, None
        if first is not None:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        if self._error is None and self._is_reading:
            self._cancel()  # another task reads, and gets the end
        elif self._error is None:
            await self._updates.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _ended(builder: CompletionBuilder) -> Completion:
    if builder.completion is None:
        raise InvalidRequestError(
            "LLM: the stream was closed before the completion ended; read it to the end first"
        )
    return builder.completion
