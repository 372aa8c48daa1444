"""The updates of a request that a runtime runs, for an event loop and for a thread.

A request whose model may call hosted tools has several rounds; its client sees one completion.
"""

import asyncio
import queue
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Self

from concordance_shared import ConcordanceError, FinishReason

from concordance_inference.generation import (
    Completed,
    Failed,
    GenerationRequest,
    PrefillProgress,
    Started,
    TextDelta,
    Update,
)
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.harmony.tool_rounds import ToolRounds
from concordance_inference.hosted_tools import HostedResult, RunningCall

if TYPE_CHECKING:
    from concordance_inference.runtime import Runtime


class _Rounds:
    """The rounds of a request: one, unless its model may call hosted tools."""

    def __init__(self, runtime: "Runtime", request: GenerationRequest) -> None:
        """Begin the first round."""
        self._runtime = runtime
        self._rounds = _rounds_of(runtime, request)
        self._request = request

    @property
    def request(self) -> GenerationRequest:
        """The request of the current round."""
        return self._rounds.request if self._rounds else self._request

    def hides(self, update: Update) -> bool:
        """True for what the client of a later round does not receive."""
        if self._rounds is None or not self._rounds.number:
            return False
        is_text = isinstance(update, TextDelta)
        return isinstance(update, Started | PrefillProgress) or (
            is_text and not self.request.stream
        )

    def end(self, completed: Completed) -> Completed | Failed | RunningCall:
        """Return how a round ended: the request is over, or a hosted tool is running."""
        self._last = end = self._runtime.ended(self.request, completed)
        if self._rounds is None or isinstance(end, Failed):
            return end
        called = self._rounds.called(end)
        if called is None:
            return self._rounds.whole(end)
        self._runtime.ended_completions.reopen(self.request.request_id)
        if not self._rounds.has_budget(end):
            return self._rounds.whole(end, is_cut=True)
        return self._rounds.start(*called)

    def given(self) -> tuple[Update, ...]:
        """The updates of a request that continues after the call of a tool, which is run first.

        Such a request begins with a round without new tokens; all others with none of these.
        """
        if self._rounds is None or not self._rounds.is_at_call:
            return ()
        request, beginning = self._request, self._request.beginning
        assert beginning is not None, "the call is in it"
        ids = (*request.prompt_ids, *beginning.token_ids) if request.return_token_ids else ()
        number = request.num_given
        return (
            Started(prompt_tokens=number, prompt_ids=ids),
            Completed(
                text="",
                token_ids=(),
                finish_reason=FinishReason.STOP,
                prompt_ids=ids,
                prompt_tokens=number,
                completion_tokens=0,
            ),
        )

    def after(self, running: RunningCall, update: Update) -> Update:
        """Return what follows a call: the text of its result, or the end of the request."""
        assert self._rounds is not None, "a hosted tool was called"
        return update if self._rounds.end_call(running) else self._rounds.cancelled()

    def next(self, running: RunningCall, result: HostedResult) -> TextDelta | Completed | Failed:
        """Begin the next round with a result; return its text, or the end if there is none."""
        assert self._rounds is not None, "a hosted tool was called"
        assert isinstance(self._last, Completed), "a round has ended"
        text = self._rounds.advance(self._last, running, result)
        if text is None:
            return self._rounds.whole()
        try:
            self._rounds.request = self._runtime.prepare(self._rounds.request)
        except ConcordanceError as exc:
            return Failed(error=exc)
        return text


def _rounds_of(runtime: "Runtime", request: GenerationRequest) -> ToolRounds | None:
    """Return the rounds of a request whose model may call hosted tools; `None` for others."""
    chat = runtime.chat
    if not request.hosted or not isinstance(chat, HarmonyFormat):
        return None
    length = runtime.model.context_length
    return ToolRounds(request, chat, chat.hosted_tools, context_length=length)


class RuntimeUpdates:
    """The updates of a request, for an event loop. Closing or dropping it cancels the request."""

    def __init__(self, runtime: "Runtime", request: GenerationRequest) -> None:
        """Make the updates of a request, which the first `anext` submits."""
        self._engine = runtime.engine
        self._rounds = _Rounds(runtime, request)
        self._given = [*self._rounds.given()]
        self._updates = self._engine.generate(request)

    def __aiter__(self) -> Self:
        """Iterate over the updates."""
        return self

    async def __anext__(self) -> Update:
        """Wait for the next update."""
        while True:
            update = self._given.pop(0) if self._given else await self._updates.__anext__()
            if isinstance(update, Completed):
                update = await self._end(update)
            if not self._rounds.hides(update):
                return update

    async def _end(self, completed: Completed) -> Update:
        # Hashes the prompt, and decodes the completion.
        end = await asyncio.to_thread(self._rounds.end, completed)
        if not isinstance(end, RunningCall):
            return end
        result = await end.wait_async()
        update = await asyncio.to_thread(self._rounds.next, end, result)
        update = self._rounds.after(end, update)
        if isinstance(update, TextDelta):
            self._updates = self._engine.generate(self._rounds.request)
        return update

    def take(self) -> Sequence[Update]:
        """Return the updates that are there already, without the last one."""
        return [update for update in self._updates.take() if not self._rounds.hides(update)]

    async def aclose(self) -> None:
        """Cancel the request unless it is over."""
        await self._updates.aclose()


class RunningRequest:
    """The updates of a submitted request. Closing or dropping it cancels the request."""

    def __init__(self, runtime: "Runtime", request: GenerationRequest) -> None:
        """Submit the request."""
        self._engine = runtime.engine
        self._rounds = _Rounds(runtime, request)
        self._updates: queue.SimpleQueue[Update] = queue.SimpleQueue()
        self._is_over = True  # until it is accepted
        for update in (given := self._rounds.given()):
            self._updates.put(update)
        if not given:
            self._engine.submit(request, self._updates.put)
        self._is_over = False

    def __iter__(self) -> Iterator[Update]:
        return self

    def __next__(self) -> Update:
        """Wait for the next update.

        Raises:
            ConcordanceError: The request failed.
        """
        if self._is_over:
            raise StopIteration
        while True:
            update = self._updates.get()
            self._is_over = isinstance(update, Completed | Failed)
            if isinstance(update, Completed):
                update = self._end(update)
            if isinstance(update, Failed):
                raise update.error
            if not self._rounds.hides(update):
                return update

    def _end(self, completed: Completed) -> Update:
        end = self._rounds.end(completed)
        if not isinstance(end, RunningCall):
            return end
        update = self._rounds.after(end, self._rounds.next(end, end.wait()))
        if isinstance(update, TextDelta):
            self._engine.submit(self._rounds.request, self._updates.put)
            self._is_over = False
        return update

    def close(self) -> None:
        """Cancel the request unless it has ended."""
        if not self._is_over:
            self._is_over = True
            self._engine.cancel(self._rounds.request.request_id)

    def __del__(self) -> None:
        """Cancel a request whose updates can no longer be read, as a generator would."""
        self.close()
