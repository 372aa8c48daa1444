"""What the client of one request hears, and when. No arrays."""

import logging
import time
from collections.abc import Callable

import msgspec
from concordance_sdk.host.request_state import RequestState
from concordance_shared import FinishReason

from concordance_inference.engine.config import ModelTraits
from concordance_inference.engine.output.logprobs import CompletionLogprobs
from concordance_inference.engine.output.stop import StopStrings
from concordance_inference.engine.output.text_stream import TextStream
from concordance_inference.engine.output.token_stream import TokenStream
from concordance_inference.generation import (
    Completed,
    Failed,
    GenerationRequest,
    Started,
    TextDelta,
    TokenLogprobs,
    Update,
)

logger = logging.getLogger(__name__)

Emit = Callable[[Update], None]

#: The ends for which every token of the completion is wanted with its log-probability.
_GOOD_ENDS = (FinishReason.STOP, FinishReason.LENGTH, FinishReason.TOOL_CALLS)


class OutputStream:
    """Follows a request's state and tells its client of it.

    Text is decoded as it is needed: as it comes for streams and stop strings, else at the end.
    """

    def __init__(
        self, request: GenerationRequest, state: RequestState, traits: ModelTraits, emit: Emit
    ) -> None:
        """Begin an answer of which nothing is known yet.

        Args:
            request: What was asked.
            state: What becomes of it.
            traits: The model's.
            emit: Takes the updates.
        """
        self._request = request
        self._state = state
        self._emit = emit
        self._text = TextStream(
            traits.new_decoder(), StopStrings(request.stop), retracts=request.include_retractions
        )
        self._tokens = TokenStream(traits.new_decoder())
        self._began_at = time.monotonic()
        self._has_started = False
        wanted = request.top_logprobs
        self.logprobs = None if wanted is None else CompletionLogprobs(wanted)
        self.cached_tokens = 0  # of the prompt, that did not have to be read
        self.is_over = False  # the client has heard the end

    @property
    def lacks_logprobs(self) -> bool:
        """Whether the request has ended and its client waits for tokens that are not scored yet.

        One that is cancelled in the meantime has nobody who waits.
        """
        state = self._state
        if self.is_over or self.logprobs is None or state.finish_reason not in _GOOD_ENDS:
            return False
        return self.first_unscored < state.num_completion

    @property
    def first_unscored(self) -> int:
        """The first token of the completion whose log-probability is wanted and not known."""
        state = self._state
        if self.logprobs is None:
            return state.num_completion
        self.logprobs.follow(state.completion_ids, state.num_edits)
        return self.logprobs.num_known

    def take_logprobs(self, index: int, entry: TokenLogprobs) -> None:
        """Learn how likely a token of the completion was, if it still stands."""
        if self.logprobs and self.first_unscored == index:
            ids = self._state.token_ids
            position = self._state.prompt_len + index
            if position < len(ids) and ids[position] == entry.token_id:
                self.logprobs.add(entry)

    def follow(self, *, always: bool = False) -> None:
        """Decode what is new, where the text matters now, and end at a stop string."""
        request, state = self._request, self._state
        if not (always or request.stream or request.stop):
            return
        unchanged = state.edits.take_unchanged(state.num_completion)
        self._text.follow(unchanged, state.token_ids[state.prompt_len + unchanged :])
        if self._text.has_stopped:
            state.stop_at_string()

    def report(self) -> None:
        """Send what is new, if the client wants to hear of it."""
        state = self._state
        if not self._has_started and (state.num_sampled or state.num_completion):
            self._has_started = True
            self._emit(Started(prompt_tokens=state.prompt_len))
        if self._request.stream:
            self._send(self._text.delta(min(state.num_released, self.first_unscored)))
        for tokens in self._tokens.deltas(state.edits.take_changes()):
            self._emit(tokens)

    def conclude(self) -> None:
        """Tell the client that the request has ended."""
        self.is_over = True
        self._log()
        state = self._state
        if state.error:
            self._emit(Failed(error=state.error))
            return
        self.follow(always=True)
        self.report()
        if self._request.show_tokens and (last := self._tokens.last_delta()):
            self._emit(last)
        if self._request.stream:
            self._send(self._text.last_delta())
        self._emit(self._completed())

    def _send(self, delta: TextDelta | None) -> None:
        if delta and self.logprobs:
            entries = self.logprobs.untold(self._text.num_shown_tokens)
            delta = msgspec.structs.replace(delta, logprobs=entries)
        if delta:
            self._emit(delta)

    def _log(self) -> None:
        state = self._state
        logger.info(
            "%s %s: %d prompt tokens (%d cached), %d of the completion (%d forced, %d taken back), "
            "%.2f s",
            state.request_id,
            state.finish_reason,
            state.prompt_len,
            self.cached_tokens,
            state.num_completion,
            state.num_forced,
            state.num_taken_back,
            time.monotonic() - self._began_at,
        )

    def _completed(self) -> Completed:
        state, text = self._state, self._text.text()
        logprobs = self.logprobs.all() if self.logprobs else ()
        return Completed(
            text=text,
            token_ids=tuple(state.completion_ids),
            finish_reason=state.finish_reason or FinishReason.CANCELLED,
            tool_calls=state.tool_calls,
            logprobs=logprobs[: self._text.tokens_in(len(text))],
            prompt_tokens=state.prompt_len,
            completion_tokens=state.num_completion,
            cached_tokens=self.cached_tokens,
            forced_tokens=state.num_forced,
            taken_back_tokens=state.num_taken_back,
        )
