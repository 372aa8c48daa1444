"""One request in the batch: its state, mods, output and progress. No arrays."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from concordance_sdk.channels import Channels
from concordance_sdk.host.dispatch import AdjustableLogits, ModDispatch
from concordance_sdk.host.request_state import Given, RequestState
from concordance_shared import (
    ConcordanceError,
    InvalidActionError,
    NumericalError,
)
from greenlet import GreenletExit

from concordance_inference.branching.branch import BRANCH
from concordance_inference.engine.config import ModelTraits
from concordance_inference.engine.control.schedule import control_by_schedule
from concordance_inference.engine.loops.content import ContentFilter
from concordance_inference.engine.loops.guard import LoopGuard
from concordance_inference.engine.metrics import TokenClock
from concordance_inference.engine.output.output_stream import Emit, OutputStream
from concordance_inference.engine.output.prompt_logprobs import MAX_POSITIONS as MAX_PER_PASS
from concordance_inference.engine.output.prompt_logprobs import PromptLogprobs
from concordance_inference.engine.parking.calls import RequestCalls
from concordance_inference.engine.parking.parking import Parking
from concordance_inference.engine.plan import RowDemand
from concordance_inference.engine.request.backoff import SpeculationBackoff
from concordance_inference.engine.request.endings import ending_ids
from concordance_inference.engine.request.instances import make_instances
from concordance_inference.engine.request.late_calls import fail_call, give_up, reads_logits
from concordance_inference.engine.request.optional_mods import OptionalMods
from concordance_inference.engine.request.recent_logits import MAX_POSITIONS, MIN_POSITIONS
from concordance_inference.engine.request.request_mods import RequestMods
from concordance_inference.engine.request.row_trace import begin_trace, end_trace
from concordance_inference.engine.request.rule_tracker import RuleTracker
from concordance_inference.engine.request.speculation import Speculation
from concordance_inference.engine.sampling.rng import NO_TOKEN, TOO_FEW
from concordance_inference.generation import GenerationRequest, TokenLogprobs

if TYPE_CHECKING:
    from concordance_sdk.host.instance import ModInstance

    from concordance_inference.engine.control.row_control import RowControl

Logits = TypeVar("Logits", bound=AdjustableLogits)
P = ParamSpec("P")
T = TypeVar("T")


class Row:
    """A request in the batch.

    Connects the parts that know of each other only here: `state` (tokens and counters), `dispatch`
    (its mods), `output` (its client) and `speculation` (its forward passes).
    """

    def __init__(
        self,
        request: GenerationRequest,
        traits: ModelTraits,
        emit: Emit,
        *,
        max_tokens: int,
        clock: TokenClock,
        max_recent: int = MAX_POSITIONS,
        parking: Parking | None = None,
    ) -> None:
        """Create the row of a request, with instances of its mods.

        Args:
            request: The request.
            traits: The model's.
            emit: Called with the request's updates.
            max_tokens: Budget of the completion, with its beginning.
            clock: Times its tokens.
            max_recent: Number of positions whose logits are kept if mods can backtrack.
            parking: Continues calls of mods that wait for an answer of another process.

        Raises:
            ModError: A mod's `__init__` raised.
        """
        self.request = request
        self.emit = emit
        given, made = _given(request), request.instances
        mods = make_instances(request, traits) if made is None else made
        self.mods = RequestMods(mods, request)
        #: Runs the methods below that call mods.
        parking = Parking() if parking is None else parking
        self.calls = RequestCalls(self.mods, parking, partial(give_up, self))
        self.state = RequestState(
            request.request_id,
            request.prompt_ids,
            max_tokens=max_tokens,
            eos_ids=ending_ids(request, traits.eos_ids),
            forced_eos_ids=traits.eos_ids,
            hold=self.mods.hold,
            holds=self.mods.context.holds,
            keeps_changes=request.show_tokens,
            given=given,
        )
        self.channels = None if request.channels is None else Channels(request.channels, self.state)
        if self.channels is not None:
            self.state.followers.append(self.channels)
        self.mods.context.channels = self.channels
        self.mods.context.given = given
        self.dispatch = ModDispatch(
            self.state,
            mods,
            vocab_size=traits.vocab_size,
            context_len=traits.context_length,
            channels=self.channels,
        )
        self.control: RowControl | None = None  # from the first command on
        self.optional = OptionalMods(self)
        rules = request.token_rules
        self.rules = None if rules is None else RuleTracker(rules, self.state)
        self.loops = _loop_guard(request, self.state, traits)
        if given.token_ids:
            for follower in self.state.followers:
                follower.extend(given.token_ids)
        self.output = OutputStream(request, self.state, traits.new_decoder, emit, self.channels)
        if self.dispatch.can_backtrack:
            num_recent = max(max_recent, 1)
        else:
            samples_again = self.rules is not None or request.sampling.top_p < 1
            samples_again = samples_again or self.mods.may_park  # after a late answer
            num_recent = MIN_POSITIONS if self.output.logprobs or samples_again else 0
        self.prompt_logprobs = PromptLogprobs(
            self.state,
            has_reader=self.dispatch.listens_to_logits,
            num_top=request.prompt_logprobs,
        )
        self.output.read_prompt_logprobs = self.prompt_logprobs.requested
        self.speculation = Speculation(
            self.state, max_recent=num_recent, logits_needed_from=self._logits_needed_from
        )
        self.speculation.rewound(0, self.state.num_completion and len(self.state.token_ids))
        self.output.count_read = lambda: self.speculation.num_read
        self.clock = clock
        self.is_ended_by_hand = False  # by a command
        self.is_concluding = False  # its mods are notified of the end, of which each may be late
        self.stops: set[int] = set()  # lengths at which the prefill pauses
        #: The mods at `ForwardPass`, if they changed the logits of the next position.
        self.adjusted_by: tuple[ModInstance, ...] = ()
        self.reads_logprobs = False  # a mod has read the logprob of a sampled token
        self._sorting_backoff = SpeculationBackoff()
        self.admitted_length: int | None = None  # `max_length` when it entered the batch
        self.num_kept = 0  # tokens copied to the prefix cache after its end
        seed = request.sampling.seed
        self.seed = secrets.randbits(64) if seed is None else seed
        self.tracer = begin_trace(self, traits.context_length)  # of every token, or None
        self.state.trace_with(self.tracer)
        if request.scheduled:
            self.control = control_by_schedule(self, request.scheduled, traits)

    # Queries

    @property
    def demand(self) -> RowDemand:
        """The tokens to process next."""
        if self.calls.is_parked:
            return RowDemand(self.speculation.cache_length, is_waiting=True)
        if self.prompt_logprobs.is_needed:
            return self.speculation.demand({*self.stops, self.state.num_cached + MAX_PER_PASS})
        return self.speculation.demand(self.stops)

    @property
    def draw_index(self) -> int:
        """Index of the next draw in the random numbers of `seed`.

        Draws that neither a mod nor the completion saw are not counted, so that a seed gives the
        same tokens whatever was speculated.
        """
        return self.state.num_sampled + self.speculation.is_pending

    @property
    def sorts_all_tokens(self) -> bool:
        """True if top-p and top-k have to sort the whole vocabulary, not only the top tokens.

        A row for which the top tokens were too few is sampled again from all. With a mod that
        handles `ForwardPass` this is impossible: it is called once per position.
        """
        return reads_logits(self) or bool(self.adjusted_by) or self._sorting_backoff.is_on

    @property
    def is_over(self) -> bool:
        """True if the request has finished and no logprobs are missing."""
        if not self.state.is_finished:
            return False
        return not (self.output.lacks_logprobs or self.prompt_logprobs.is_missing)

    @property
    def num_top(self) -> int:
        """Maximum alternatives to each token, of the prompt or of the completion."""
        request = self.request
        return max(request.top_logprobs or 0, request.prompt_logprobs or 0)

    @property
    def is_sound(self) -> bool:
        """True unless the model's logits were NaN, after which its KV cache must not be reused."""
        return not isinstance(self.state.error, NumericalError)

    @property
    def may_hold_nan(self) -> bool:
        """True if its keys and values in the KV cache may hold NaN."""
        return not self.is_sound or self.speculation.may_hold_nan

    @property
    def has_outgrown(self) -> bool:
        """True if it has to process more tokens than it was admitted for."""
        admitted = self.admitted_length
        return admitted is not None and self.state.max_length > admitted and not self.is_over

    @property
    def prompt_ids(self) -> list[int]:
        """The prompt, as mods left it."""
        return self.state.token_ids[: self.state.prompt_len]

    @property
    def is_paused(self) -> bool:
        """True if no position is decided until a command continues the request.

        A command may end a paused request, which then needs a row if logprobs are missing.
        """
        return self.control is not None and self.control.is_paused and not self.state.is_finished

    @property
    def leaves_batch(self) -> bool:
        """True if it has ended, has to wait for more memory, or is paused.

        A paused row leaves once no sampled token is on its way.
        """
        if self.calls.is_parked:
            return False
        if self.is_over:
            return self.output.is_concluded
        can_pause = self.control is not None and not self.speculation.is_pending
        return self.has_outgrown or (can_pause and self.is_paused)

    @property
    def accepts_logits(self) -> bool:
        """True if the next token may be sampled from the logits that were returned last."""
        if self.calls.is_parked or (self.control and self.is_paused):
            return False
        return self.speculation.logits_are_current

    # Transitions

    def begin(self) -> None:
        """Dispatch the prompt to the mods, and the beginning of the completion, if there is one."""
        if beginning := self.request.beginning:
            self._guard(self.dispatch.resume, beginning.dropped, beginning.dropped_by)
        elif branch := self.request.branch:
            self._guard(self.dispatch.resume, branch.added, BRANCH)
        else:
            self._guard(self.dispatch.prefilled)
        self.output.follow()  # the beginning may have a stop string
        if self.control:  # of a schedule, or commands that came while the mods were asked
            self.control.apply()
            self.output.follow()

    def admit(self, num_cached: int) -> None:
        """Enter the batch, with the first `num_cached` tokens of the prompt in the KV cache."""
        if self.admitted_length is None:
            self.output.cached_tokens = min(num_cached, self.state.given_len)
            self.speculation.num_read = len(self.state.token_ids) - num_cached
        self.state.mark_processed(num_cached)
        self.admitted_length = self.state.max_length

    def dispatch_logits(self, logits: Logits) -> Logits | None:
        """Dispatch the logits of the next position to the mods.

        Returns:
            The logits to sample from; `None` if a mod forced, backtracked, ended or failed.
        """
        if not self.dispatch.listens_to_logits:
            return logits
        prompt_logprobs = self.prompt_logprobs.take()
        adjusted = self._guard(self.dispatch.forward_pass, logits, prompt_logprobs)
        is_changed = adjusted is not None and adjusted is not logits
        self.adjusted_by = self.dispatch.mods if is_changed else ()
        if adjusted is None:
            self.output.follow()
            self._guard(_leave_loop, self)
            _apply_scheduled(self)
            self.speculation.drop_stale_logits()
        if self.control:
            self.control.follow()
        return adjusted

    def take_sampled(
        self,
        token_id: int,
        read_logprob: Callable[[], float] | None = None,
        entry: TokenLogprobs | None = None,
    ) -> None:
        """Dispatch the token that was sampled, and record what the mods made of it.

        Args:
            token_id: The token; `TOO_FEW` to sample again from the same logits; `NO_TOKEN` if no
                token can be sampled.
            read_logprob: Computes the token's log-probability, if a mod reads it.
            entry: The token's logprobs, if the client requested them.
        """
        known, index = len(self.state.token_ids), self.state.num_completion
        if self.rules and not self.rules.is_right():
            # To be sampled again. Rare: it says nothing of the tokens that follow.
            self.speculation.resolve(known, TOO_FEW, is_finite=False, backs_off=False)
            self.adjusted_by = ()
            return
        self._sorting_backoff.note(was_wasted=token_id == TOO_FEW)
        if token_id == NO_TOKEN:
            self.state.fail(_no_token(self))
        elif token_id != TOO_FEW and not self.state.is_finished:
            if self.tracer is not None:
                self.tracer.drew(token_id, self.state.num_completion)
            num_edits = self.state.num_edits
            self._guard(self.dispatch.sampled, token_id, read_logprob)
            if self.calls.is_abandoned and self.state.num_edits == num_edits:
                self.state.backtrack(self.state.num_completion - index, undoes_draw=True)
            self.output.follow()
            self._guard(_leave_loop, self)
            if self.control:
                self.control.apply()
                self.output.follow()
        # Adjusted logits may be finite where the model's were not.
        is_finite = token_id != NO_TOKEN and not self.adjusted_by
        was_wasted = self.speculation.resolve(known, token_id, is_finite=is_finite)
        if was_wasted and self.tracer is not None:
            self.tracer.wasted()
        self.adjusted_by = ()
        if entry is not None:
            self.output.take_logprobs(index, entry)

    def take_logprobs(self, length: int, entry: TokenLogprobs) -> None:
        """Receive the logprobs of the token after `length` tokens; it may have changed since."""
        if length < self.state.prompt_len:
            self.prompt_logprobs.add(length, entry)
            return
        self.output.take_logprobs(length - self.state.prompt_len, entry)
        if self.tracer is not None:
            self.tracer.logprobs(length - self.state.prompt_len, entry)

    def conclude(self) -> None:
        """Notify the mods and the client of the end."""
        if self.state.error is None:
            self.output.follow()
        self._guard(self.dispatch.finished)
        loops = self.loops.found if self.loops else ()
        usage = self.mods.usage(self.dispatch.tallies)
        self.output.conclude(usage, tuple(loops))
        end_trace(self, usage)
        if self.control:
            self.control.close()
        self.mods.close()

    def _logits_needed_from(self) -> int:
        """Return the length of the shortest prefix whose following logits are still needed."""
        in_prompt = self.prompt_logprobs.logits_needed_from()
        return self.output.logits_needed_from() if in_prompt is None else in_prompt

    def _guard(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Call a method that calls mods; an error of theirs ends this request only."""
        try:
            returned = call(*args, **kwargs)
            self.optional.remove_failed()
        except ConcordanceError as exc:
            self.state.fail(exc)
        except GreenletExit:  # the request has ended while the call was parked
            pass
        except Exception as exc:
            if not self.mods.may_park:  # the engine is at fault, or the device
                raise
            fail_call(self, exc)
        else:
            return returned
        return None


def takes_token(row: Row) -> bool:
    """True if the last step sampled a token for a row, which can be dispatched to its mods now."""
    return row.speculation.is_pending and not row.calls.is_parked


def _loop_guard(
    request: GenerationRequest, state: RequestState, traits: ModelTraits
) -> LoopGuard | None:
    """Return what finds loops in the completion; `None` if the request does not ask for it."""
    detection = request.loop_detection
    if detection is None or detection.mode == "off":
        return None
    content = ContentFilter(traits.control_ids, traits.header_ids, request.prompt_ids)
    return LoopGuard(detection, state, content)


def _apply_scheduled(row: Row) -> None:
    """Apply the commands that a schedule has for this moment."""
    if row.request.scheduled and row.control:
        row.control.apply()
        row.output.follow()


def _leave_loop(row: Row) -> None:
    """End or rewind a completion that loops."""
    if row.loops and not row.state.is_finished:
        row.loops.act(row.dispatch, min_tokens=row.request.min_tokens)


def _given(request: GenerationRequest) -> Given:
    """Return the tokens of another request with which the completion begins."""
    begins = request.beginning or request.branch
    if begins is None:
        return Given()
    is_sent = request.branch is None
    return Given(begins.token_ids, begins.forced_by, begins.num_sampled, is_sent)


def _no_token(row: Row) -> ConcordanceError:
    """Return the error for a position at which no token can be sampled."""
    step = row.state.num_completion
    if not row.adjusted_by:
        return NumericalError(f"the model's logits at step {step} are not numbers")
    names = ", ".join(repr(mod.name) for mod in row.adjusted_by)
    is_early = step < row.request.min_tokens
    ban = f", and min_tokens={row.request.min_tokens} bans those that end it" if is_early else ""
    return InvalidActionError(
        f"the logits that mod {names} left at ForwardPass (step {step}) hold NaN or leave no "
        f"token to sample{ban}; leave at least one finite logit",
        event="ForwardPass",
        step=step,
        mod=row.adjusted_by[-1].name,
    )
