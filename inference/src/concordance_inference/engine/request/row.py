"""One request while it runs: its state, its mods, and what the loop has to know of it.

No arrays: the batch's caches and the step's scores hold those.
"""

import secrets
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from concordance_sdk.host.dispatch import AdjustableLogits, ModDispatch
from concordance_sdk.host.request_state import RequestState
from concordance_shared import (
    ConcordanceError,
    FinishReason,
    InvalidActionError,
    ModError,
    NumericalError,
)

from concordance_inference.engine.config import ModelTraits
from concordance_inference.engine.metrics import TokenClock
from concordance_inference.engine.output.output_stream import Emit, OutputStream
from concordance_inference.engine.plan import RowDemand
from concordance_inference.engine.request.backoff import SpeculationBackoff
from concordance_inference.engine.request.instances import make_instances
from concordance_inference.engine.request.recent_logits import MAX_POSITIONS, RecentLogits
from concordance_inference.engine.sampling.rng import (
    NO_TOKEN,
    TOO_FEW,
    XTC_SERIES,
    draw_key,
    uniform,
)
from concordance_inference.generation import GenerationRequest

#: As many positions are remembered for a row of which nothing can be taken back: the last one is
#: that of a token which may have to be sampled again, or which a mod puts there instead.
_FEW = 2

Logits = TypeVar("Logits", bound=AdjustableLogits)
P = ParamSpec("P")
T = TypeVar("T")


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
        max_tokens: int,
        clock: TokenClock,
        remembers: int = MAX_POSITIONS,
    ) -> None:
        """Make the row of a request: its mods' instances and its empty text.

        Args:
            request: What is asked.
            traits: The model's.
            emit: Takes the request's updates.
            max_tokens: The completion's budget.
            clock: Times its tokens.
            remembers: The scores of how many positions are kept, if mods may go back to them.

        Raises:
            ModError: A mod's `__init__` raised.
        """
        self.request = request
        self.emit = emit
        mods = request.instances
        mods = make_instances(request, traits) if mods is None else mods
        self.state = RequestState(
            request.request_id,
            request.prompt_ids,
            max_tokens=max_tokens,
            eos_ids=traits.eos_ids,
            hold=_hold(request, [mod.max_backtrack for mod in mods]),
            keeps_changes=request.show_tokens,
        )
        self.dispatch = ModDispatch(
            self.state, mods, vocab_size=traits.vocab_size, context_len=traits.context_length
        )
        self.output = OutputStream(request, self.state, traits, emit)
        self.clock = clock
        self._mods = tuple(mods)
        self.is_pending = False
        self.is_adjusted = False  # mods changed the scores of the next position
        self._admitted_length: int | None = None  # `max_length` when it entered the batch
        self.stops: set[int] = set()  # lengths at which reading the prompt pauses
        self._is_read_ahead = False  # the pending token is read by a pass that was launched
        self._scored_behind = 0  # how many tokens stand before the position last scored
        self._most_read = 0  # the greatest length that a pass has read
        self._sound_length = 0  # as many of these tokens led to logits that are numbers
        self._read_again = 0  # as many tokens were read once, and may be read again in chunks
        self._caution = SpeculationBackoff()
        self._rank_caution = SpeculationBackoff()
        self._scores = RecentLogits(self._num_remembered(remembers))
        seed = request.sampling.seed
        self._seed = secrets.randbits(64) if seed is None else seed

    def _num_remembered(self, most: int) -> int:
        if self.dispatch.can_backtrack:
            return max(most, 1)
        return _FEW if self.output.logprobs or self.request.sampling.top_p < 1 else 0

    # What the loop reads of it

    @property
    def unread(self) -> RowDemand:
        """What the planner has to know.

        A pending token that fills the budget is not read ahead: nothing comes behind it, unless a
        mod takes something back.
        """
        state = self.state
        if self.is_pending:
            return RowDemand(state.num_cached, is_pending=True, is_waiting=state.room <= 1)
        if self.recalls_next or (state.is_finished and self.is_over):
            return RowDemand(state.num_cached, is_waiting=True)
        end = len(state.token_ids) - state.is_finished  # a last token is only to be scored
        start = state.num_cached
        return RowDemand(
            start,
            state.token_ids[start:end],
            is_prompt=start < max(state.prompt_len, self._read_again),
            logits_from=self.first_to_score,
            stops=tuple(self.stops),
        )

    def is_stuck(self, unread: RowDemand) -> bool:
        """Whether no step can bring it forward: nothing to process, nothing to sample from.

        Args:
            unread: What it has to process.
        """
        if self.state.is_finished or unread.is_active:
            return False
        return not (self.state.room and (self.is_pending or self.recalls_next))

    @property
    def prompt_ids(self) -> list[int]:
        """The prompt's tokens, as mods left them."""
        return self.state.token_ids[: self.state.prompt_len]

    @property
    def is_sound(self) -> bool:
        """Whether what it has read may be used again: not if the model answered with no numbers."""
        return not isinstance(self.state.error, NumericalError)

    @property
    def may_hold_nan(self) -> bool:
        """Whether its keys and values may hold NaN: what follows from them was not all seen.

        The token that was read ahead at the end is let pass.
        """
        return not self.is_sound or self._most_read > self._sound_length + 1

    @property
    def mod_seconds(self) -> float | None:
        """How long its mods took so far; `None` if it has none."""
        return sum(mod.seconds for mod in self._mods) if self._mods else None

    @property
    def max_length(self) -> int:
        """The length that it can grow to, in tokens of prompt and completion together.

        A mod's `ForceOutput` may make the completion longer than the budget.
        """
        return max(self.state.prompt_len + self.state.max_tokens, len(self.state.token_ids))

    @property
    def has_outgrown(self) -> bool:
        """Whether it has to process more tokens than it was admitted for."""
        admitted = self._admitted_length
        return admitted is not None and self.max_length > admitted and not self.is_over

    @property
    def is_reading_prompt(self) -> bool:
        """Whether its prompt is not read to the end."""
        return self.state.num_cached < self.state.prompt_len

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left to do."""
        return self.state.is_finished and not self.output.lacks_logprobs

    @property
    def num_top_logprobs(self) -> int:
        """How many alternatives to each token its client wants to hear of."""
        return self.request.top_logprobs or 0

    @property
    def is_cautious(self) -> bool:
        """Whether its next token is to be seen before it is read."""
        return self._caution.is_on

    @property
    def ranks_whole(self) -> bool:
        """Whether all tokens are sorted to cut them by rank, rather than the likeliest.

        A row whose likeliest tokens were too few is sampled again. Mods are asked about a position
        once, so that theirs must not be.
        """
        return self.dispatch.listens_to_logits or self._rank_caution.is_on

    @property
    def reusable(self) -> int:
        """How many of its tokens need not be read again before the next position is decided.

        All but the last: the scores come from reading it. All, where they are remembered. Where
        log-probabilities are wanted, not more than stand before the first that is not known.
        """
        state = self.state
        if self.is_pending or self.recalls_next:
            return state.num_cached
        return min(state.num_cached, self.first_to_score - 1)

    @property
    def first_to_score(self) -> int:
        """How many tokens stand before the first position whose scores are wanted."""
        state = self.state
        return min(state.prompt_len + self.output.first_unscored, len(state.token_ids))

    @property
    def recalls_next(self) -> bool:
        """Whether the scores of the next position are remembered, so that nothing is to be read."""
        state = self.state
        if self.is_pending or state.is_finished or state.num_cached < len(state.token_ids):
            return False
        if self.first_to_score < len(state.token_ids):
            return False
        return self._scores.recall(len(state.token_ids)) is not None

    def is_next(self, length: int) -> bool:
        """Whether the position after `length` tokens is the one to sample next.

        A pass may also end in the middle of a forced span that is read in chunks: the token at
        that position is known, and nothing is sampled there.

            8 tokens, 5 of them forced and read in chunks of 3, with log-probabilities:
            first chunk    positions 4 5 6 are scored, all of them known
            second chunk   positions 7 and 8 are scored; 8 is the next one
        """
        return length == len(self.state.token_ids) + self.is_pending and not self.state.is_finished

    @property
    def is_at_hand(self) -> bool:
        """Whether the scores of the last pass are those of the position that comes next."""
        state = self.state
        return (
            not state.is_finished
            and state.num_cached == len(state.token_ids) == self._scored_behind
        )

    def draw_key(self) -> int:
        """Return the key of the draw of the next token to sample, 64 bits."""
        return draw_key(self._seed, self.state.num_sampled + self.is_pending)

    def xtc_draw(self) -> float:
        """Return a number in [0, 1) for the same token: whether XTC excludes top choices."""
        return uniform(self._seed ^ XTC_SERIES, self.state.num_sampled + self.is_pending)

    # What the loop does to it

    def begin(self) -> None:
        """Let the mods see the prompt."""
        self._guard(self.dispatch.prefilled)

    def admit(self, num_cached: int) -> None:
        """Enter the batch with the first `num_cached` tokens of the prompt in the caches."""
        if self._admitted_length is None:
            self.output.cached_tokens = num_cached
        self.state.mark_processed(num_cached)
        self._admitted_length = self.max_length

    def leave(self) -> None:
        """Leave the batch, and with it what the caches hold of this row."""
        self.state.mark_processed(0)

    def go_back(self, num_cached: int, reusable: int) -> None:
        """Learn that the caches hold so many of its tokens, of those that need not be read."""
        self._read_again = max(self._read_again, reusable)
        self.state.mark_processed(num_cached)

    def count_read(self, num_tokens: int) -> None:
        """Book what a forward pass reads of it."""
        state = self.state
        self._scored_behind = state.num_cached + num_tokens
        self._most_read = max(self._most_read, self._scored_behind)
        if self.is_pending:
            self._is_read_ahead = True
        else:
            state.mark_processed(self._scored_behind)

    def count_recalled(self) -> None:
        """Book that the scores of its next position are remembered ones."""
        self._scored_behind = self.state.num_cached

    def remember(self, length: int, scores: Any) -> None:
        """Keep the scores of the position behind `length` tokens, if it may be gone back to."""
        self._scores.remember(length, scores)

    def recall(self, length: int) -> Any | None:
        """The scores of the position behind `length` tokens, if they are remembered."""
        return self._scores.recall(length)

    def steer_logits(self, logits: Logits) -> Logits | None:
        """Let the mods see the next position's scores; return those to sample from, if any."""
        if not self.dispatch.listens_to_logits:
            return logits
        chosen = self._guard(self.dispatch.forward_pass, logits)
        if chosen is None:  # a mod decided otherwise, or failed
            self.output.follow()
            self._scores.forget_behind(self.state.num_cached)
        self.is_adjusted = chosen is not logits
        return chosen

    def take_sampled(self, token_id: int) -> None:
        """Learn which token was sampled, and let the mods decide what becomes of it."""
        state = self.state
        known = len(state.token_ids)
        self.is_pending = False
        self._rank_caution.note(was_wasted=token_id == TOO_FEW)
        if token_id != NO_TOKEN and not self.is_adjusted:
            self._sound_length = max(self._sound_length, known)
        if token_id == NO_TOKEN:
            self.fail(self._no_token())
        elif token_id != TOO_FEW and not state.is_finished:
            self._guard(self.dispatch.sampled, token_id)
            self.output.follow()
        stands = state.num_cached == known < len(state.token_ids)
        stands = stands and state.token_ids[known] == token_id
        if self._is_read_ahead and stands:
            state.mark_processed(known + 1)
        self._caution.note(was_wasted=self._is_read_ahead and not stands)
        self._scores.forget_behind(state.num_cached)
        self._is_read_ahead = self.is_adjusted = False

    def cancel(self) -> None:
        """End the request, since nobody waits for it any more."""
        self.state.finish(FinishReason.CANCELLED)

    def fail(self, error: ConcordanceError) -> None:
        """End the request with an error."""
        self.state.fail(error)

    def conclude(self) -> None:
        """Tell the mods and the client that the request has ended."""
        self._guard(self.dispatch.finished)
        self.output.conclude()

    def _guard(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Call something that mods take part in; what they do wrong ends this request only."""
        try:
            return call(*args, **kwargs)
        except ModError as exc:
            self.fail(exc)
            return None

    def _no_token(self) -> ConcordanceError:
        """Whose fault it is that no token can be sampled."""
        step = self.state.num_completion
        if not self.is_adjusted:
            return NumericalError(f"the model's logits at step {step} are not numbers")
        names = ", ".join(repr(mod.name) for mod in self.dispatch.mods)
        return InvalidActionError(
            f"the logits that mod {names} left at ForwardPass (step {step}) hold NaN or leave no "
            "token to sample; leave at least one with a finite score",
            event="ForwardPass",
            step=step,
            mod=self.dispatch.mods[-1].name,
        )


def _hold(request: GenerationRequest, holds: list[int | None]) -> int | None:
    """How many tokens are not shown yet; `None` for all, where nothing is shown early."""
    if not request.stream or request.include_retractions or None in holds:
        return None
    return max([0, *(hold for hold in holds if hold is not None)])
