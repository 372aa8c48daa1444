"""One request while it runs: its state, its mods, its text, and where its updates go.

No arrays: the batch's caches and the step's logits hold those.
"""

import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar

from concordance_sdk.instance import InProcessMod
from concordance_sdk.request_state import RequestState
from concordance_sdk.steering import AdjustableLogits, Steering
from concordance_shared import (
    ConcordanceError,
    FinishReason,
    InvalidActionError,
    ModError,
    NumericalError,
)

from concordance_inference.engine.config import ModelTraits
from concordance_inference.engine.draws import NO_TOKEN, uniform
from concordance_inference.engine.plan import Unread
from concordance_inference.engine.score_memory import MAX_POSITIONS, ScoreMemory
from concordance_inference.engine.stop import StopStrings
from concordance_inference.engine.text_stream import TextStream
from concordance_inference.engine.token_stream import TokenStream
from concordance_inference.generation import (
    Completed,
    Failed,
    GenerationRequest,
    Started,
    Update,
)

logger = logging.getLogger(__name__)

#: For how many tokens nothing is read ahead after a pass was wasted, the first time and at most.
_FIRST_CAUTION = 32
_MAX_CAUTION = 1024

Emit = Callable[[Update], None]

Logits = TypeVar("Logits", bound=AdjustableLogits)


class Row:
    """A request's place in the batch.

    `is_pending` says that the token behind the last known one has been sampled and is still on
    the device. The next forward pass reads it there, before anyone has seen it; when it is seen
    and stands, that pass is good, and if a mod decides otherwise, `num_cached` says so.
    """

    def __init__(
        self,
        request: GenerationRequest,
        traits: ModelTraits,
        emit: Emit,
        *,
        remembers: int = MAX_POSITIONS,
    ) -> None:
        """Make the row of a request: its mods' instances and its empty text.

        Args:
            request: What is asked.
            traits: The model's.
            emit: Takes the request's updates.
            remembers: The scores of how many positions are kept, if mods may go back to them.

        Raises:
            ModError: A mod's `__init__` raised.
        """
        self.request = request
        self._began_at = time.monotonic()
        self.is_pending = False
        self._is_read_ahead = False  # the pending token is read by a pass that was launched
        self._scored_behind = 0  # how many tokens stand before the position last scored
        self._caution = 0  # tokens for which nothing is read ahead
        self._next_caution = _FIRST_CAUTION
        self.is_adjusted = False  # mods changed the scores of the next position
        self.is_concluded = False  # the client has heard the end
        self._emit = emit
        seed = request.sampling.seed
        self._seed = secrets.randbits(64) if seed is None else seed
        mods = [
            InProcessMod(
                call.definition,
                call.parameters,
                tokenizer=traits.tokenizer,
                conversation=request.conversation,
                name=call.name,
            )
            for call in request.mods
        ]
        self.state = RequestState(
            request.request_id,
            request.prompt_ids,
            max_tokens=request.max_tokens,
            eos_ids=traits.eos_ids,
            hold=_hold(request, [mod.max_backtrack for mod in mods]),
            keeps_journal=request.show_tokens,
        )
        self.steering = Steering(
            self.state, mods, vocab_size=traits.vocab_size, context_len=traits.context_length
        )
        self._scores = ScoreMemory(remembers if self.steering.can_take_back else 0)
        self._text = TextStream(
            traits.new_decoder(), StopStrings(request.stop), retracts=request.include_retractions
        )
        self._tokens = TokenStream(traits.new_decoder())
        self._has_started = False

    # What the loop reads of it

    @property
    def unread(self) -> Unread:
        """What the planner has to know.

        A pending token that fills the budget is not read ahead: nothing comes behind it, unless a
        mod takes something back.
        """
        state = self.state
        if self.is_pending:
            return Unread(state.num_cached, is_pending=True, is_waiting=state.room <= 1)
        if state.is_finished or self.recalled_scores is not None:
            return Unread(state.num_cached, is_waiting=True)
        return Unread(
            state.num_cached,
            state.token_ids[-state.num_unread :],
            is_prompt=state.num_cached < state.prompt_len,
        )

    @property
    def is_cautious(self) -> bool:
        """Whether its next token is to be seen before it is read.

        Reading ahead pays if mods leave tokens alone. Each time that a pass was wasted, nothing is
        read ahead for a while, and for twice as long the next time.
        """
        return self._caution > 0

    @property
    def reusable(self) -> int:
        """How many of its tokens need not be read again before the next position is decided.

        All but the last: the scores come from reading it. All, where they are remembered.
        """
        state = self.state
        if self.is_pending or self.recalled_scores is not None:
            return state.num_cached
        return min(state.num_cached, len(state.token_ids) - 1)

    @property
    def recalled_scores(self) -> Any | None:
        """The scores of the next position, where it was scored before and nothing is to be read."""
        state = self.state
        if self.is_pending or state.is_finished or state.num_cached < len(state.token_ids):
            return None
        return self._scores.recall(len(state.token_ids))

    @property
    def is_at_hand(self) -> bool:
        """Whether the scores of the last pass are those of the position that comes next."""
        state = self.state
        return (
            not state.is_finished
            and state.num_cached == len(state.token_ids) == self._scored_behind
        )

    def draw(self) -> float:
        """The random number for the next token to sample, in [0, 1)."""
        return uniform(self._seed, self.state.num_sampled + self.is_pending)

    # What the loop does to it

    def begin(self) -> None:
        """Let the mods see the prompt."""
        self._guard(self.steering.prefilled)

    def count_read(self, num_tokens: int) -> None:
        """Book what a forward pass reads of it."""
        state = self.state
        self._scored_behind = state.num_cached + num_tokens
        if self.is_pending:
            self._is_read_ahead = True
        else:
            state.num_cached = self._scored_behind

    def count_recalled(self) -> None:
        """Book that the scores of its next position are remembered ones."""
        self._scored_behind = self.state.num_cached

    def remember(self, scores: Any) -> None:
        """Keep the scores of its next position, if mods may go back to it."""
        if self.steering.can_take_back:
            self._scores.remember(self._scored_behind, scores)

    def steer_logits(self, logits: Logits) -> Logits | None:
        """Let the mods see the next position's scores; return those to sample from, if any."""
        if not self.steering.listens_to_logits:
            return logits
        chosen: list[Logits | None] = [None]
        self._guard(lambda: chosen.append(self.steering.forward_pass(logits)))
        self._follow()
        self._scores.forget_behind(self.state.num_cached)
        self.is_adjusted = chosen[-1] is not logits
        return chosen[-1]

    def take_sampled(self, token_id: int) -> None:
        """Learn which token was sampled, and let the mods decide what becomes of it."""
        state = self.state
        known = len(state.token_ids)
        self.is_pending = False
        if token_id == NO_TOKEN:
            self.fail(self._no_token())
        elif not state.is_finished:
            self._guard(lambda: self.steering.sampled(token_id))
            self._follow()
        stands = state.num_cached == known < len(state.token_ids)
        stands = stands and state.token_ids[known] == token_id
        if self._is_read_ahead and stands:
            state.num_cached = known + 1
        self._be_cautious(was_wasted=self._is_read_ahead and not stands)
        self._scores.forget_behind(state.num_cached)
        self._is_read_ahead = self.is_adjusted = False

    def _be_cautious(self, *, was_wasted: bool) -> None:
        if was_wasted:
            self._caution = self._next_caution
            self._next_caution = min(2 * self._next_caution, _MAX_CAUTION)
        else:
            self._caution = max(0, self._caution - 1)

    def cancel(self) -> None:
        """End the request, since nobody waits for it any more."""
        self.state.finish(FinishReason.CANCELLED)

    def fail(self, error: ConcordanceError) -> None:
        """End the request with an error."""
        self.state.fail(error)

    # What its client hears of it

    def report(self) -> None:
        """Send what is new, if it wants to hear of it."""
        state = self.state
        if not self._has_started and (state.num_sampled or state.num_completion):
            self._has_started = True
            self._emit(Started(prompt_tokens=state.prompt_len))
        if self.request.stream and (delta := self._text.delta(state.num_released)):
            self._emit(delta)
        if state.journal:
            for tokens in self._tokens.deltas(state.journal):
                self._emit(tokens)
            state.journal.clear()

    def conclude(self) -> None:
        """Tell the mods and the client that the request has ended."""
        self.is_concluded = True
        self._guard(self.steering.finished)
        state = self.state
        logger.info(
            "%s %s: %d prompt tokens, %d of the completion (%d forced, %d taken back), %.2f s",
            state.request_id,
            state.finish_reason,
            state.prompt_len,
            state.num_completion,
            state.num_forced,
            state.num_taken_back,
            time.monotonic() - self._began_at,
        )
        if state.error:
            self._emit(Failed(error=state.error))
            return
        self._follow(always=True)
        self.report()
        if self.request.stream and (delta := self._text.last_delta()):
            self._emit(delta)
        self._emit(self._completed())

    def _completed(self) -> Completed:
        state = self.state
        return Completed(
            text=self._text.text(),
            token_ids=tuple(state.completion_ids),
            finish_reason=state.finish_reason or FinishReason.CANCELLED,
            tool_calls=state.tool_calls,
            prompt_tokens=state.prompt_len,
            completion_tokens=state.num_completion,
            forced_tokens=state.num_forced,
            taken_back_tokens=state.num_taken_back,
        )

    def _follow(self, *, always: bool = False) -> None:
        """Decode what is new, where the text matters now, and end at a stop string."""
        request, state = self.request, self.state
        if not (always or request.stream or request.stop):
            return
        unchanged = state.num_unchanged
        self._text.follow(unchanged, state.token_ids[state.prompt_len + unchanged :])
        state.num_unchanged = state.num_completion
        if self._text.has_stopped and state.finish_reason in (None, FinishReason.LENGTH):
            state.finish_reason = FinishReason.STOP

    def _guard(self, call: Callable[[], object]) -> None:
        """Call something that mods take part in; what they do wrong ends this request only."""
        try:
            call()
        except ModError as exc:
            self.fail(exc)

    def _no_token(self) -> ConcordanceError:
        """Whose fault it is that no token can be sampled."""
        step = self.state.num_completion
        if not self.is_adjusted:
            return NumericalError(f"the model's logits at step {step} are not numbers")
        names = ", ".join(repr(mod.name) for mod in self.steering.mods)
        return InvalidActionError(
            f"the logits that mod {names} left at ForwardPass (step {step}) hold NaN or leave no "
            "token to sample; leave at least one with a finite score",
            event="ForwardPass",
            step=step,
            mod=self.steering.mods[-1].name,
        )


def _hold(request: GenerationRequest, holds: list[int | None]) -> int | None:
    """How many tokens are not shown yet; `None` for all, where nothing is shown early."""
    if not request.stream or request.include_retractions or None in holds:
        return None
    return max([0, *(hold for hold in holds if hold is not None)])
