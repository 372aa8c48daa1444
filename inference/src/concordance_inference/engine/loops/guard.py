"""Ends a request whose completion loops, or rewinds it out of the loop. No arrays, no text."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal, cast

from concordance_sdk.host.progress import MAX_BACKTRACK_RATIO
from concordance_sdk.host.request_state import RequestState
from concordance_shared import AnyAction, Backtrack, Event, FinishReason, ForwardPass

from concordance_inference.engine.loops.content import ContentFilter
from concordance_inference.engine.loops.detector import (
    MAX_PERIOD,
    Loop,
    LoopDetector,
    PeriodDetector,
    RunDetector,
)
from concordance_inference.loop_detection import FoundLoop, LoopDetection

if TYPE_CHECKING:
    from concordance_sdk.host.dispatch import AdjustableLogits, ModDispatch
    from concordance_sdk.host.instance import ModInstance

#: The name under which rewinding is counted and traced, beside those of mods.
NAME = "loop_detection"


def enough_repeats(period: int) -> int:
    """Return how many sampled tokens that equal the one `period` before them are a loop.

    Ordinary documents repeat less (`docs/loops.md`): at most 63 tokens of period 1, in a row of
    zeros, and 143 of longer periods, in a ruler of emojis with three tokens each.
    """
    return 96 if period == 1 else max(160, 4 * period)


def detector_of(detection: LoopDetection) -> LoopDetector:
    """Return a new detector."""
    if detection.mode == "cheap":
        return RunDetector(enough_repeats(1))
    return PeriodDetector([enough_repeats(period) for period in range(1, MAX_PERIOD + 1)])


class LoopGuard:
    """Follows the completion of one request, and acts once it ends in a loop.

    Every edit of the completion reaches it before tokens are released to the client. It acts
    between two positions, after the mods, as if it were the last of them. Rewinding a loop of
    period 2 that began at step 1:

        tokens      a b c b c b c b c       found: begin 1, period 2, repeats 4
        rewound     a b c                   the token at step 3 is sampled again, and may not be b

    What it may remove is held back from the client (`LoopDetector.settled`): the tokens at the end
    that equal the ones a period before them, a few in ordinary text.

    Attributes:
        found: The loops so far.
        rewinds: It rewinds completions, for as often as it may.
    """

    name = NAME
    max_backtrack = None

    def __init__(
        self, detection: LoopDetection, state: RequestState, content: ContentFilter
    ) -> None:
        """Follow a request with an empty completion.

        Args:
            detection: What the request asks for.
            state: The request.
            content: Tells which tokens are content.
        """
        self.found: list[FoundLoop] = []
        self._detection = detection
        self._state = state
        self._content = content
        self._detector = detector_of(detection)
        self.rewinds = detection.action == "rewind"
        self._banned: dict[int, set[int]] = {}  # by step: tokens that may not be sampled there
        self._tries = 0
        self.instances: Sequence[ModInstance] = (self,)
        state.followers.append(self)
        if self.rewinds:
            state.holds.lower_by(self._detector.settled)

    # Edits of the completion

    def extend(self, token_ids: Sequence[int]) -> None:
        """Follow appended tokens."""
        forced = self._state.forced[-len(token_ids) :]
        for token_id, is_forced in zip(token_ids, forced, strict=bool(token_ids)):
            self._detector.add(self._content.add(token_id), is_sampled=not is_forced)

    def cut(self, length: int) -> None:
        """Follow a cut; tokens that are banned beyond it followed other tokens."""
        self._detector.cut(length)
        self._content.cut(length)
        for step in [step for step in self._banned if step > length]:
            del self._banned[step]

    # Between positions

    def banned(self, step: int) -> Collection[int]:
        """Return the tokens that may not be sampled at a step."""
        return self._banned.get(step, ())

    def act(self, dispatch: "ModDispatch", *, min_tokens: int) -> None:
        """End or rewind a completion that ends in a loop.

        Args:
            dispatch: The request's.
            min_tokens: The length from which the completion may end.
        """
        loop = self._detector.found
        if loop is None or self._state.is_finished:
            return
        step = self._step_to_rewind_to(loop)
        if step is not None:
            self._rewind(loop, step, dispatch)
        elif self._state.num_completion >= min_tokens:
            self._record(loop, "ended")
            self._state.finish(FinishReason.LENGTH)
            self._state.remove_hidden()

    def _step_to_rewind_to(self, loop: Loop) -> int | None:
        """The step of the first sampled repeat; `None` if the loop ends the completion."""
        state = self._state
        if not self.rewinds or self._tries >= self._detection.max_tries:
            return None
        step = state.forced.find(0, loop.begin + loop.period)
        budget = MAX_BACKTRACK_RATIO * state.max_tokens - state.num_backtracked
        can_rewind = step >= state.num_released and state.num_completion - step <= budget
        return step if can_rewind else None

    def _rewind(self, loop: Loop, step: int, dispatch: "ModDispatch") -> None:
        state = self._state
        self._tries += 1
        self._record(loop, "rewound")
        self._banned.setdefault(step, set()).add(state.token_ids[state.prompt_len + step])
        event = ForwardPass(
            request_id=state.request_id,
            step=state.num_completion,
            logits=cast("AdjustableLogits", range(dispatch.vocab_size)),  # not read
        )
        dispatch.act(self, event, Backtrack(state.num_completion - step))

    def _record(self, loop: Loop, outcome: Literal["ended", "rewound"]) -> None:
        self.found.append(
            FoundLoop(
                begin=loop.begin,
                period=loop.period,
                repeats=loop.repeats,
                outcome=outcome,
                tries=self._tries,
            )
        )

    # As the instance of a mod, in whose name the dispatch rewinds

    def listens_to(self, event_type: type[Event]) -> bool:
        """False: the row calls it."""
        del event_type
        return False

    def ask(self, event: Event) -> AnyAction | None:
        """Do nothing."""
        del event
        return None
