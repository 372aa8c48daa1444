"""Sends the updates of one request to its client. No arrays."""

import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec
from concordance_sdk.channels import Channels
from concordance_sdk.detokenizer import Detokenizer
from concordance_sdk.host.request_state import RequestState
from concordance_shared import FinishReason

from concordance_inference.engine.output.content_scope import ContentScope
from concordance_inference.engine.output.logprobs import CompletionLogprobs
from concordance_inference.engine.output.stop import StopStrings
from concordance_inference.engine.output.text_stream import TextStream
from concordance_inference.engine.output.token_stream import TokenStream
from concordance_inference.generation import (
    Completed,
    ControlDelta,
    Failed,
    GenerationRequest,
    LogprobsDelta,
    ModUsage,
    PrefillProgress,
    ReportsDelta,
    Started,
    TextDelta,
    TokenLogprobs,
    Update,
)
from concordance_inference.loop_detection import FoundLoop

logger = logging.getLogger(__name__)

Emit = Callable[[Update], None]

#: Ends for which the client receives the logprobs of every token.
_NEEDS_LOGPROBS = (None, FinishReason.STOP, FinishReason.LENGTH, FinishReason.TOOL_CALLS)


class OutputStream:
    """Follows the state of a request and sends updates to its client.

    Tokens are detokenized when their text is needed: as they come for streams and stop strings,
    at the end otherwise.
    """

    def __init__(
        self,
        request: GenerationRequest,
        state: RequestState,
        new_decoder: Callable[..., Detokenizer],
        emit: Emit,
        channels: Channels | None = None,
    ) -> None:
        """Follow a request with an empty completion.

        Args:
            request: The request.
            state: Its state.
            new_decoder: Creates a detokenizer, without the text of the tokens in `skipped` and
                with the names of the special tokens in `kept`.
            emit: Called with the updates.
            channels: Those of the completion, if the model has channels.
        """
        self._request = request
        self._state = state
        self._emit = emit
        skipped = frozenset(request.stop_token_ids).difference(request.kept_ids)
        shown = {"skipped": skipped, "kept": request.kept_ids}
        given = request.beginning.token_ids if request.beginning else ()
        self._text = TextStream(
            new_decoder(**shown),
            StopStrings(request.stop),
            min_tokens=request.min_tokens,
            retracts=request.include_retractions,
            marked=request.kept_ids,
            given=given,
            num_shown=len(request.beginning.text) if request.beginning else 0,
            content=ContentScope(channels) if channels and request.stops_in_content else None,
        )
        self._tokens = TokenStream(new_decoder(**shown), given)
        self._started_at = time.monotonic()
        self._has_started = False
        self._num_prefilled = -1
        self._retracts = request.stream and request.include_retractions
        self._commands: list[dict[str, Any]] = []  # applied, and not sent yet
        self._num_sent = state.num_given  # tokens of the completion that deltas had
        num_top = request.top_logprobs
        self.logprobs = None if num_top is None else CompletionLogprobs(state, num_top)
        self.read_prompt_logprobs: Callable[[], tuple[TokenLogprobs | None, ...] | None] = tuple
        self.cached_tokens = 0  # prompt tokens that were reused from the prefix cache
        self.count_read: Callable[[], int] = int  # tokens processed so far
        self._read_tokens = 0  # before the first new token
        self.is_concluded = False  # the client was notified of the end

    def logits_needed_from(self) -> int:
        """Return the length of the shortest prefix whose following logits are still needed.

        The length of all tokens, for the next position, unless logprobs of known tokens are
        missing: tokens that a mod forced were not sampled, so their logprobs are computed later.

            prompt of 3 tokens, "ab" sampled, "xyz" forced    logprobs known: a b
            logits needed after 5 (for x), 6 (y), 7 (z), 8 (to sample)    -> 5
        """
        state = self._state
        length = len(state.token_ids)
        if self.logprobs is None or self.is_concluded or state.finish_reason not in _NEEDS_LOGPROBS:
            return length
        return min(state.prompt_len + self.logprobs.num_known, length)

    @property
    def lacks_logprobs(self) -> bool:
        """True if the logprobs of a token of the completion are requested and missing."""
        return self.logits_needed_from() < len(self._state.token_ids)

    def take_logprobs(self, index: int, entry: TokenLogprobs) -> None:
        """Receive the logprobs of token `index` of the completion; it may have changed since."""
        if self.logprobs:
            self.logprobs.add(index, entry)

    def follow(self, *, always: bool = False) -> None:
        """Detokenize new tokens and stop at a stop string.

        Args:
            always: Also if the text is not needed before the end.
        """
        request, state = self._request, self._state
        if not (always or request.stream or request.stop):
            return
        length = state.num_completion
        num_visible = state.holds.num_visible(length)
        if not request.include_retractions:
            length = num_visible
        unchanged = min(state.edits.take_unchanged(length), length)
        tokens = state.token_ids[state.prompt_len + unchanged : state.prompt_len + length]
        self._text.follow(unchanged, tokens, num_visible=num_visible)
        num_tokens = self._text.num_before_end
        if num_tokens is not None and state.error is None:
            state.stop_at_string(num_tokens)

    def add_control(self, event: dict[str, Any]) -> None:
        """Send a command that was applied, after the text before it."""
        if self._request.stream:
            self._commands.append(event)

    def tokens_before(self, num_chars: int) -> tuple[int | None, str]:
        """Return how many tokens end within the first `num_chars` characters, and the rest of them.

        The number is `None` if the text is shorter.
        """
        self.follow(always=True)
        return self._text.split(num_chars)

    @property
    def num_chars(self) -> int:
        """Length of the text so far, as far as it was decoded."""
        return self._text.num_chars

    def report(self) -> None:
        """Send updates for everything new that the client requested."""
        self._send_output()
        if self._has_started:  # until then, an error has an HTTP status of its own
            self._send_reports()

    def _send_output(self) -> None:
        state = self._state
        if not self._has_started:
            if self._request.show_progress:
                self._send_progress()
            self._start()
        if self._request.stream and self._has_started:
            num_final = state.num_released
            if self.logprobs and not self._retracts:  # text is sent together with its logprobs
                num_final = min(num_final, self.logprobs.num_known)
            self._send(self._text.delta(num_final))
        if self._request.show_tokens:
            for tokens in self._tokens.deltas(state.edits.take_changes()):
                self._emit(tokens)
            if self._has_started:
                self._send_logprobs()

    def conclude(self, mods: tuple[ModUsage, ...] = (), loops: tuple[FoundLoop, ...] = ()) -> None:
        """Send the rest of the output and the end.

        Args:
            mods: What each mod did.
            loops: The loops that were found.
        """
        self.is_concluded = True
        self._log()
        state = self._state
        if state.error:
            state.error.reports = tuple(state.reports.entries)
            if self._has_started:
                self._send_reports()
            actions = state.actions
            self._emit(
                Failed(
                    error=state.error,
                    actions=tuple(actions.entries),
                    num_actions=actions.num_actions,
                )
            )
            return
        self.follow(always=True)
        self._send_output()
        if self._request.show_tokens and (last := self._tokens.last_delta()):
            self._emit(last)
        if self._request.stream:
            self._send(self._text.last_delta())
        self._send_reports()
        self._emit(self._completed(mods, loops))

    def _send_reports(self) -> None:
        """Send new reports, after the text that was released before they were made."""
        if self._request.stream and (new := self._state.reports.take_new()):
            self._emit(ReportsDelta(reports=tuple(new)))
        if self._commands:
            self._emit(ControlDelta(commands=tuple(self._commands)))
            self._commands.clear()

    def _send_logprobs(self) -> None:
        """Send new logprobs beside the tokens, for streams whose text has none."""
        if not (self.logprobs and self._retracts):
            return
        first, entries = self.logprobs.take_new()
        if entries:
            self._emit(LogprobsDelta(first=first, entries=entries))

    def _send_progress(self) -> None:
        """Send how much of the prompt is prefilled, if it has changed."""
        state = self._state
        processed = min(state.num_cached, state.given_len)
        if processed != self._num_prefilled:
            self._num_prefilled = processed
            self._emit(
                PrefillProgress(
                    total=state.given_len,
                    cache=self.cached_tokens,
                    processed=processed,
                    time_ms=round(1e3 * (time.monotonic() - self._started_at)),
                )
            )

    def _send(self, delta: TextDelta | None) -> None:
        if delta and self.logprobs and not self._retracts:
            entries = self.logprobs.take_unsent(self._text.num_shown_tokens)
            delta = msgspec.structs.replace(delta, logprobs=entries)
        if delta and self._request.return_token_ids:
            delta = self._with_tokens(delta)
        if delta:
            self._emit(delta)

    def _with_tokens(self, delta: TextDelta) -> TextDelta:
        """Add the tokens whose text is sent with a delta."""
        state, begin = self._state, self._num_sent
        self._num_sent = end = max(begin, self._text.num_shown_tokens)
        return msgspec.structs.replace(
            delta,
            token_ids=tuple(state.token_ids[state.prompt_len + begin : state.prompt_len + end]),
            forced_by=tuple(state.forced_by[begin:end]),
        )

    def _start(self) -> None:
        """Send that the response begins, once its first token is decided."""
        state, entries = self._state, self.read_prompt_logprobs()
        if entries is None or not _has_new_token(self._request, state):
            return
        self._has_started = True
        self._read_tokens = self.count_read() if self._request.branch else 0
        self._emit(
            Started(
                prompt_tokens=state.given_len,
                cached_tokens=self.cached_tokens,
                read_tokens=self._read_tokens,
                prompt_ids=self._prompt_ids,
                prompt_logprobs=entries,
            )
        )

    @property
    def _prompt_ids(self) -> tuple[int, ...]:
        """The prompt as mods left it, with the completion's beginning, if requested."""
        state = self._state
        return tuple(state.token_ids[: state.given_len]) if self._request.return_token_ids else ()

    def _stopped_by(self) -> str | int | None:
        """The stop string or the token of `stop_token_ids` that ended the completion."""
        if (string := self._text.stop_string) is not None:
            return string
        last = self._state.completion_ids[-1:]
        return last[0] if last and last[0] in self._request.stop_token_ids else None

    def _log(self) -> None:
        state = self._state
        logger.debug(
            "%s %s%s: %d prompt tokens (%d cached), %d completion tokens (%d forced), "
            "%d backtracked, %.2f s",
            state.request_id,
            state.finish_reason,
            _with_mods(self._request),
            state.prompt_len,
            self.cached_tokens,
            state.num_completion,
            state.num_forced,
            state.num_backtracked,
            time.monotonic() - self._started_at,
        )

    def _completed(self, mods: tuple[ModUsage, ...], loops: tuple[FoundLoop, ...]) -> Completed:
        state, text, given = self._state, self._text.text(), self._state.num_given
        logprobs = self.logprobs.all() if self.logprobs else ()
        if not self._request.return_token_ids:
            logprobs = logprobs[: max(0, self._text.tokens_in(len(text)) - given)]
        begin = len(self._request.beginning.text) if self._request.beginning else 0
        return Completed(
            text=text[begin:],
            token_ids=tuple(state.completion_ids[given:]),
            finish_reason=state.finish_reason or FinishReason.CANCELLED,
            stopped_by=self._stopped_by(),
            marks=self._text.marks(begin),
            tool_calls=state.tool_calls,
            reports=tuple(state.reports.entries),
            logprobs=logprobs,
            mean_logprob=self.logprobs.mean() if self.logprobs else None,
            forced_by=tuple(state.forced_by[given:]),
            mods=mods,
            loops=loops,
            actions=tuple(state.actions.entries),
            num_actions=state.actions.num_actions,
            prompt_ids=self._prompt_ids,
            prompt_logprobs=self.read_prompt_logprobs() or (),
            prompt_tokens=state.given_len,
            completion_tokens=state.num_completion - given,
            cached_tokens=self.cached_tokens,
            read_tokens=self._read_tokens,
            forced_tokens=state.num_forced,
            backtracked_tokens=state.num_backtracked,
        )


def _with_mods(request: GenerationRequest) -> str:
    """Name the mods of a request for the log."""
    names = ", ".join(call.name for call in request.mods)
    return f" with {names}" if names else ""


def _has_new_token(request: GenerationRequest, state: RequestState) -> bool:
    """True if a token was decided, besides those that a request begins with."""
    branch = request.branch
    begins = request.beginning or branch
    num_sampled = state.num_sampled - (begins.num_sampled if begins else 0)
    num_begun = branch.num_tokens if branch else state.num_given
    is_whole = branch is not None and state.is_finished  # and nothing follows it
    return bool(num_sampled) or state.num_completion > num_begun or is_whole
