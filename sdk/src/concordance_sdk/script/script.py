"""Runs a script on top of events and actions: the mod that `@mod` makes of a generator function."""

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from concordance_shared import (
    Action,
    Added,
    Finished,
    ForwardPass,
    Prefilled,
    Report,
)

from concordance_sdk.action_builder import Actions
from concordance_sdk.request_context import RequestContext
from concordance_sdk.script.mark import Rewound
from concordance_sdk.script.messages import raise_yielded_after_the_end
from concordance_sdk.script.run import ScriptRun
from concordance_sdk.script.step import End, Scene, SendReport, Step, Stop
from concordance_sdk.script.yielded import check_end, count_step, problem_of, take_reports
from concordance_sdk.tokenizer import Tokenizer

if TYPE_CHECKING:
    from concordance_sdk.holds import Hold

Steps = Generator[Step, Any, None]

P = ParamSpec("P")
T = TypeVar("T")


class Script:
    """A script in one request.

    The generator runs whenever the step that it yielded is done: at the event that completes the
    step. All that it writes at one event is one action:

        event                       step           the generator yields     action
        Added "." <eos>             generate       rewind(start)
                                    rewind         force("Hm. ")
                                    force          generate()               Backtrack(9, "Hm. ")
        Added "Hm. " (forced)       generate
        ForwardPass                 generate                                AdjustedLogits
    """

    def __init__(
        self,
        function: Callable[..., Steps],
        parameters: Mapping[str, Any],
        *,
        tokenizer: Tokenizer,
        request: RequestContext,
    ) -> None:
        """Make a script that starts with the first event.

        Args:
            function: The generator function.
            parameters: Its parameters, validated.
            tokenizer: The model's.
            request: What the mods of the request share.
        """
        self._scene = Scene(tokenizer, request)
        self._steps = function(ScriptRun(self._scene), **parameters)
        self._step: Step | None = None
        self._has_started = False  # at the first position that is decided
        self._rewound: Rewound | None = None  # to be raised once no other mod is writing
        self._is_over = False
        self._hold: Hold | None = None

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> object:
        """Run the script to its first step; reports, and what ends the request, are done here."""
        del tokenizer
        self._scene.prefilled = event
        self._scene.draft.begin(event)
        self._advance(None)
        while isinstance(self._step, SendReport):
            self._step.start(self._scene)
            self._advance(None)
        if isinstance(self._step, End):
            return self._answer(self._end(actions))
        return self._answer(None)

    def forward_pass(self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer) -> object:
        """Run the steps that act before a position is sampled."""
        del tokenizer
        if self._is_over:
            return None
        self._follow(event)
        adjusted: Action | None = None
        while (step := self._step) and self._may_act(step):
            if not step.is_done and not self._scene.draft.edit:
                adjusted = self._tried(step.forward_pass, event, actions)
            if step is not self._step:
                continue
            if not step.is_done:
                break
            adjusted = None
            self._resume(step.result)
        return self._act(actions, adjusted)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> object:
        """Follow the completion, and run the steps that it completes."""
        del tokenizer
        if self._is_over:
            return None
        before = self._step if self._has_started else None
        self._follow(event)
        step = self._step
        if step and step is before and not step.is_done and self._may_act(step):
            self._tried(step.added, event, actions)
        while (step := self._step) and step.is_done and self._may_act(step):
            self._resume(step.result)
        return self._act(actions, None)

    def finished(self, event: Finished, actions: Actions, tokenizer: Tokenizer) -> object:
        """Close the script, which runs its `finally` blocks, and send the reports made there."""
        del event, actions, tokenizer
        self._over()
        try:
            self._steps.close()
        except RuntimeError as exc:
            if "ignored GeneratorExit" not in str(exc):
                raise
            raise_yielded_after_the_end(self._steps)
        take_reports(self._scene, len(self._scene.made))
        return self._answer(None)

    # One event

    def _follow(self, event: ForwardPass | Added) -> None:
        """Take over the completion, and notify the script of what another mod removed."""
        self._scene.num_steps = 0
        cut = self._scene.draft.follow(event)
        if not self._has_started:
            self._start_here()
            return
        if cut is not None:
            self._rewind(cut)
        if self._rewound and self._may_act(self._step):
            rewound, self._rewound = self._rewound, None
            self._throw(rewound)

    def _start_here(self) -> None:
        """Start the first step after what mods listed before have written."""
        if not self._may_act(self._step):
            return
        self._has_started = True
        draft = self._scene.draft
        for mark in self._scene.marks:
            mark.position, mark.end_ids = draft.num_text_tokens, draft.end_ids
        self._start()

    def _rewind(self, cut: int) -> None:
        """Take into account that another mod cut the completion."""
        for mark in self._scene.marks:
            mark.rewound(cut)
        if self._step:
            self._step.rewound(cut)
        if any(cut < guard.position for guard in self._scene.guards):
            self._rewound = Rewound(cut)

    def _may_act(self, step: Step | None) -> bool:
        """True unless another part or mod is writing a span of its own."""
        scene = self._scene
        return scene.request.may_write(len(scene.draft.token_ids), by=step.writer if step else None)

    def _act(self, actions: Actions, adjusted: Action | None) -> object:
        """What to return at this event: the edit, the end of the request, or an adjustment."""
        edit = self._scene.draft.edit
        self._hold_back()
        if isinstance(self._step, Stop):
            self._over()
        if edit:
            return self._answer(edit.action(actions))
        if isinstance(self._step, End):
            return self._answer(self._end(actions))
        return self._answer(adjusted)

    def _answer(self, action: Action | None) -> object:
        """The action, with the reports of this event."""
        reports: list[Report] = self._scene.reports
        if not reports:
            return action
        sent = [*reports, action] if action else [*reports]
        reports.clear()
        return sent

    def _end(self, actions: Actions) -> Action | None:
        step = self._step
        assert step is not None
        self._over()
        return step.action(actions)

    def _hold_back(self) -> None:
        """Hold back what the script may still remove."""
        holds, marks = self._scene.request.holds, self._scene.marks
        first = self._step.held_from if self._step else None
        if first is None and not marks and self._hold is None:
            return
        if marks:
            marked = marks.first()
            first = min((each for each in (first, marked) if each is not None), default=None)
        if first is None or self._is_over:
            holds.release(self._hold)
            self._hold = None
        elif self._hold is None:
            self._hold = holds.add(first)
        else:
            self._hold.step = first

    # The generator

    def _resume(self, result: object) -> None:
        """Run the script to its next step, and start that."""
        self._advance(result)
        self._start()

    def _start(self) -> None:
        """Start the step; one that cannot start raises in the script, which may yield another."""
        while self._step:
            try:
                self._step.start(self._scene)
            except Exception as exc:  # the script may catch any
                self._run_to_step(partial(self._steps.throw, exc))
            else:
                return

    def _tried(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Call a method of a step; what it raises is raised in the script, at its `yield`."""
        try:
            return call(*args, **kwargs)
        except Exception as exc:  # the script may catch any
            self._throw(exc)
            return None

    def _throw(self, error: Exception) -> None:
        self._run_to_step(partial(self._steps.throw, error))
        self._start()

    def _advance(self, result: object) -> None:
        self._run_to_step(partial(self._steps.send, result))

    def _run_to_step(self, advance: Callable[[], object]) -> None:
        """Run the script up to its next `yield` of a step, or to its end."""
        if self._step:
            self._step.close()
            self._step = None
        while not self._is_over:
            count_step(self._scene, self._steps)
            try:
                step = advance()
            except StopIteration:
                self._end_script()
                return
            problem = problem_of(step, self._scene)
            if problem is None and isinstance(step, Step):
                self._scene.made.remove(step)
                self._step = step
                return
            advance = partial(self._steps.throw, TypeError(problem))  # at the `yield`

    def _end_script(self) -> None:
        """End the script, which has returned."""
        take_reports(self._scene, len(self._scene.made))
        self._over()
        check_end(self._scene)

    def _over(self) -> None:
        self._is_over = True
        self._scene.request.holds.release(self._hold)
        self._hold = None
        if self._step:
            self._step.close()
