"""One asking of a self-prompt: the prompt is put there, the answer written, some of it erased.

Knows steps and tokens, not events. Where it stands follows from the step that it is told, so that
whatever other mods take back, the prompt stands before the answer and the answer is allowed.
"""

from collections.abc import Sequence
from typing import Any

from concordance_shared import Action

from concordance_sdk.action_builder import Actions
from concordance_sdk.constraints.compiled import CompiledConstraint
from concordance_sdk.constraints.span import ConstrainedSpan
from concordance_sdk.exclusive import may_write
from concordance_sdk.self_prompt.edit import Edit
from concordance_sdk.self_prompt.erase import EraseMode


class SelfPromptRun:
    """One asking, in one request. Made by `SelfPrompt.start`.

    For mods that decide themselves when to ask: `before` is for `ForwardPass`, `behind` for
    `Added`; both say how the completion is to change, if it is. Ask `waits` before `before` where
    other mods may be writing.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.self_prompt import SelfPrompt
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> sure = SelfPrompt(prompt="Sure? ", strategy=ChoicesStrat(["yes", "no"]), erase="all")
        >>> run = sure.start(ByteTokenizer())
        >>> bytes(run.before(0).tokens)
        b'Sure? '
        >>> bytes(run.behind(0, b"Sure? n").tokens)
        b'o'
        >>> run.behind(7, b"o"), run.text
        (Edit(n=8, tokens=()), 'no')
    """

    def __init__(
        self,
        prompt_ids: Sequence[int],
        constraint: CompiledConstraint,
        *,
        erase: EraseMode,
        argmax_sampling: bool = False,
    ) -> None:
        """Ask nothing yet.

        Args:
            prompt_ids: The prompt.
            constraint: What the answer may be, its completion included.
            erase: What is taken back when it is answered.
            argmax_sampling: Take the likeliest of the allowed tokens.
        """
        self._prompt_ids = list(prompt_ids)
        self._constraint = constraint
        self._erase = erase
        self._temperature = 0.0 if argmax_sampling else None
        self._answer: ConstrainedSpan | None = None  # set once the prompt is queued
        self._due: tuple[int, Edit] | None = None  # what is to be erased, and at which step
        self.text: str | None = None  # the answer, once there is one
        self.value: Any = None  # what it means

    @property
    def is_complete(self) -> bool:
        """Whether there is an answer."""
        return self.text is not None

    @property
    def is_settled(self) -> bool:
        """Whether there is an answer, and nothing is left to be erased that was not asked for."""
        return self.is_complete and not (self._due and self._due[1])

    @property
    def prompt_ids(self) -> list[int]:
        """The prompt."""
        return list(self._prompt_ids)

    @property
    def has_begun(self) -> bool:
        """Whether the prompt was asked to be put there."""
        return self.is_complete or self._answer is not None

    def is_writing(self, step: int) -> bool:
        """Whether a step that comes next is inside of the prompt or of the answer."""
        if self.is_complete or self._answer is None:
            return False
        return step >= self._begin(self._answer)

    def waits(self, request_id: str, step: int) -> bool:
        """Whether it has to wait with asking, since another part of the completion is written."""
        has_part = self.is_complete or self.is_writing(step)
        return not has_part and not may_write(self, request_id, step)

    def begin(self, step: int) -> Edit:
        """Ask at a step: the prompt, and what every answer begins with."""
        self._answer = self._answer_at(step + len(self._prompt_ids))
        return Edit(0, (*self._prompt_ids, *self._answer.forced()))

    def before(self, step: int) -> Edit:
        """What is to be done before the model decides a step; nothing if it may decide.

        Raises:
            ConstraintError: Another mod put tokens there that the answer cannot have.
        """
        if self.is_complete:
            return self._what_is_due(step)
        if self._answer is None or step < self._begin(self._answer):
            return self.begin(step)
        if step < self._answer.begin:
            standing = step - self._begin(self._answer)
            self._answer = self._answer_at(self._answer.begin)
            return Edit(0, (*self._prompt_ids[standing:], *self._answer.forced()))
        self._answer.go_to(step)
        if self._answer.end is not None:
            return self._finish(self._answer, step, ())
        return Edit(0, tuple(self._answer.forced()))

    def behind(self, step: int, token_ids: Sequence[int]) -> Edit:
        """What is to be done behind tokens that were added at a step.

        Raises:
            ConstraintError: The answer cannot have these tokens.
        """
        if self._due and step < self._due[0]:
            self._due = None  # it was carried out
        if self.is_complete or self._answer is None:
            return Edit()
        answer_ids = self._behind_prompt(self._answer, step, token_ids)
        if answer_ids is None:
            self._answer = None  # other tokens stand where the prompt stood: ask again
            return Edit()
        self._answer.go_to(max(step, self._answer.begin))
        self._answer.follow(max(step, self._answer.begin), answer_ids)
        if self._answer.end is not None:
            return self._finish(self._answer, step + len(token_ids), token_ids)
        if step + len(token_ids) < self._answer.begin:
            return Edit()  # the prompt is not whole any more: `before` puts it there
        return Edit(0, tuple(self._answer.forced()))

    def _answer_at(self, step: int) -> ConstrainedSpan:
        """An answer that begins at a step."""
        return ConstrainedSpan(self._constraint.start(at_start=not step), step)

    def masked(self, actions: Actions) -> Action:
        """What the model may decide between."""
        assert self._answer is not None
        return actions.adjust_logits(mask=self._answer.matcher.mask(), token_temp=self._temperature)

    def _begin(self, answer: ConstrainedSpan) -> int:
        return answer.begin - len(self._prompt_ids)

    def _behind_prompt(
        self, answer: ConstrainedSpan, step: int, token_ids: Sequence[int]
    ) -> Sequence[int] | None:
        """Those of some tokens that stand behind the prompt; `None` if it is the prompt no more."""
        standing = step - self._begin(answer)
        if standing < 0:  # what stands before the prompt was put there together with it
            token_ids, standing = token_ids[-standing:], 0
        expected = self._prompt_ids[standing:]
        given = list(token_ids[: len(expected)])
        return token_ids[len(expected) :] if given == expected[: len(given)] else None

    def _finish(self, answer: ConstrainedSpan, now: int, token_ids: Sequence[int]) -> Edit:
        """Take the answer, and say what is to be erased.

        Args:
            answer: It has ended.
            now: The step behind all that is there.
            token_ids: What was added last.
        """
        assert answer.end is not None
        self.text, self.value = answer.matcher.answer, answer.matcher.value
        written = answer.matcher.token_ids
        told = len(written) - (answer.end - answer.begin)  # 1 if an end token stands behind it
        more = list(token_ids[len(token_ids) - (now - answer.end - told) :]) if token_ids else []
        kept = self._kept(answer, written[: len(written) - told])
        edit = Edit.between([*self._prompt_ids, *written, *more], [*kept, *more])
        self._due = (now, edit)
        return edit

    def _kept(self, answer: ConstrainedSpan, written: list[int]) -> list[int]:
        """What stays of the prompt and of what was written: the answer and what stands behind."""
        del answer
        return {
            EraseMode.NONE: [*self._prompt_ids, *written],
            EraseMode.PROMPT: written,
            EraseMode.ALL: [],
        }[self._erase]

    def _what_is_due(self, step: int) -> Edit:
        """What is to be erased, if that was not carried out: once more, where it still can be."""
        due, self._due = self._due, None
        return due[1] if due and due[0] == step else Edit()
