"""One run of a self-prompt: force the prompt, follow the answer, erase.

Works on steps and tokens, without events. The state is a function of the step that a call names, so
that wherever other mods backtrack to, the whole prompt precedes the answer:

            begin - len(prompt)     begin              end
    ... text |  p   p   p   p   p   |  a   a   a   a   |  text ...
             <------ prompt ------->  <--- answer ---->
    before(step):  force the prompt,   force or mask    finish: erase
                   or the rest of it   by the grammar
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from concordance_shared import Action

from concordance_sdk.action_builder import Actions
from concordance_sdk.constraints.compiled import CompiledConstraint
from concordance_sdk.constraints.span import ConstrainedSpan
from concordance_sdk.request_context import current_request, may_write
from concordance_sdk.self_prompt.edit import Edit, EraseMode

if TYPE_CHECKING:
    from concordance_sdk.holds import Hold


class SelfPromptRun:
    """One run of a self-prompt in one request. Made by `SelfPrompt.start`.

    For mods that decide themselves when to ask: `before` is for `ForwardPass`, `after` for
    `Added`; both return the edit to make, empty for none. Where other mods may be writing, check
    `waits` before `before`.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.self_prompt import SelfPrompt
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> sure = SelfPrompt(prompt="Sure? ", constraint=ChoicesStrat(["yes", "no"]), erase="all")
        >>> run = sure.start(ByteTokenizer())
        >>> bytes(run.before(0).tokens)
        b'Sure? '
        >>> bytes(run.after(0, b"Sure? n").tokens)
        b'o'
        >>> run.after(7, b"o"), run.text
        (Edit(n=8, tokens=()), 'no')
    """

    def __init__(
        self,
        prompt_ids: Sequence[int],
        constraint: CompiledConstraint,
        *,
        erase: EraseMode,
        temperature: float | None = None,
    ) -> None:
        """Make a run that has not started.

        Args:
            prompt_ids: The prompt.
            constraint: The texts that the answer may be, its suffix included.
            erase: What to remove when it is answered.
            temperature: The temperature of the answer's tokens; 0 takes the top allowed token.
        """
        self._prompt_ids = list(prompt_ids)
        self._constraint = constraint
        self._erase = erase
        self._temperature = temperature
        self._span: ConstrainedSpan | None = None  # of the answer; set once the prompt is forced
        self._due: tuple[int, Edit] | None = None  # the step of the erasing edit, and the edit
        self._hold: Hold | None = None  # on what will be erased, while it is in the completion
        self.text: str | None = None  # the answer, once there is one
        self.token_ids: list[int] = []  # of the answer, its suffix included
        self.begin_step = 0  # of the answer
        self.value: Any = None  # the value of the answer

    @property
    def is_complete(self) -> bool:
        """True if there is an answer."""
        return self.text is not None

    @property
    def is_settled(self) -> bool:
        """True if there is an answer and no erasing edit is pending."""
        return self.is_complete and not (self._due and self._due[1])

    @property
    def prompt_ids(self) -> list[int]:
        """The prompt, as a copy."""
        return list(self._prompt_ids)

    @property
    def has_begun(self) -> bool:
        """True once the prompt was forced."""
        return self.is_complete or self._span is not None

    def is_writing(self, step: int) -> bool:
        """True if the position `step`, the next to be decided, is inside prompt or answer."""
        if self.is_complete or self._span is None:
            return False
        return step >= self._begin(self._span)

    def waits(self, step: int) -> bool:
        """True if it may not begin yet, since another part of a mod is writing."""
        has_part = self.is_complete or self.is_writing(step)
        return not has_part and not may_write(step, by=self)

    def begin(self, step: int) -> Edit:
        """Begin at a step: force the prompt, and the tokens that every answer begins with."""
        self._span = self._span_at(step + len(self._prompt_ids))
        self._hide(self._span)  # before any mod is notified of the prompt
        return Edit(0, (*self._prompt_ids, *self._span.forced()))

    def before(self, step: int) -> Edit:
        """The edit before a step is sampled; empty if the model may decide it.

        Raises:
            ConstraintError: Another mod put tokens there that the answer does not allow.
        """
        if self.is_complete:
            return self._pending_edit(step)
        if self._span is None or step < self._begin(self._span):
            self._release()
            return self.begin(step)
        if step < self._span.begin:
            num_there = step - self._begin(self._span)  # prompt tokens that are still there
            self._span = self._span_at(self._span.begin)
            return Edit(0, (*self._prompt_ids[num_there:], *self._span.forced()))
        self._span.go_to(step)
        if self._span.end is not None:
            return self._finish(self._span, step, ())
        return Edit(0, tuple(self._span.forced()))

    def after(self, step: int, token_ids: Sequence[int]) -> Edit:
        """The edit after tokens that were added at a step.

        Raises:
            ConstraintError: The answer does not allow these tokens.
        """
        if self._due and step < self._due[0]:
            self._due = None  # the erasing edit was made
        if self.is_complete or self._span is None:
            return Edit()
        answer_ids = self._after_prompt(self._span, step, token_ids)
        if answer_ids is None:
            edit = self._without_prompt(self._span, step, token_ids)
            self._span = None  # begin again
            self._release()
            return edit
        self._hide(self._span)
        self._span.go_to(max(step, self._span.begin))
        self._span.follow(max(step, self._span.begin), answer_ids)
        if self._span.end is not None:
            return self._finish(self._span, step + len(token_ids), token_ids)
        if step + len(token_ids) < self._span.begin:
            return Edit()  # the prompt is incomplete: `before` forces the rest
        return Edit(0, tuple(self._span.forced()))

    def masked(self, actions: Actions) -> Action:
        """The action that masks the logits of the answer's next token."""
        assert self._span is not None
        return actions.adjust_logits(mask=self._span.matcher.mask(), token_temp=self._temperature)

    def close(self) -> int | None:
        """Give up a run that is not complete, and show what follows.

        Returns:
            The step of the first token of what would have been erased; `None` if there is nothing.
        """
        span, self._span = self._span, None
        self._release()
        if span is None or self.is_complete or self._erase is EraseMode.NONE:
            return None
        return self._begin(span)

    def _span_at(self, step: int) -> ConstrainedSpan:
        self.begin_step = step
        return ConstrainedSpan(self._constraint.start(at_start=not step), step)

    def _begin(self, span: ConstrainedSpan) -> int:
        """The step of the prompt's first token."""
        return span.begin - len(self._prompt_ids)

    def _after_prompt(
        self, span: ConstrainedSpan, step: int, token_ids: Sequence[int]
    ) -> Sequence[int] | None:
        """The added tokens that follow the prompt; `None` if they differ from the prompt."""
        offset = step - self._begin(span)
        if offset < 0:  # tokens before the prompt were added together with it
            token_ids, offset = token_ids[-offset:], 0
        expected = self._prompt_ids[offset:]
        given = list(token_ids[: len(expected)])
        return token_ids[len(expected) :] if given == expected[: len(given)] else None

    def _without_prompt(self, span: ConstrainedSpan, step: int, token_ids: Sequence[int]) -> Edit:
        """The edit that removes the first part of a prompt of which the rest was replaced."""
        if self._erase is EraseMode.NONE:
            return Edit()
        offset = step - self._begin(span)
        written = [*self._prompt_ids[: max(0, offset)], *token_ids[max(0, -offset) :]]
        pairs = zip(written, self._prompt_ids, strict=False)
        num_left = next(i for i, (token, own) in enumerate(pairs) if token != own)
        return Edit.between(written, written[num_left:])

    def _finish(self, span: ConstrainedSpan, now: int, token_ids: Sequence[int]) -> Edit:
        """Keep the answer, and return the edit that erases.

        Args:
            span: The answer, which has ended.
            now: The completion's length.
            token_ids: The tokens added last.
        """
        assert span.end is not None
        self.text, self.value = span.matcher.answer, span.matcher.value
        written = span.matcher.token_ids
        num_eos = len(written) - (span.end - span.begin)  # 1 if such a token ended the answer
        self.token_ids = written[: len(written) - num_eos]
        more = list(token_ids[len(token_ids) - (now - span.end - num_eos) :]) if token_ids else []
        kept = self._kept(span, written[: len(written) - num_eos])
        edit = Edit.between([*self._prompt_ids, *written, *more], [*kept, *more])
        self._due = (now, edit)
        self._release()  # the caller makes the edit
        return edit

    def _kept(self, span: ConstrainedSpan, written: list[int]) -> list[int]:
        """The tokens of prompt and answer that stay."""
        del span
        return {
            EraseMode.NONE: [*self._prompt_ids, *written],
            EraseMode.PROMPT: written,
            EraseMode.ALL: [],
        }[self._erase]

    def _pending_edit(self, step: int) -> Edit:
        """The erasing edit, if another mod won the event at which it was returned: try again."""
        due, self._due = self._due, None
        self._release()
        return due[1] if due and due[0] == step else Edit()

    def _hide(self, span: ConstrainedSpan) -> None:
        """Hold back what will be erased, and hide it should the request end first."""
        request = current_request()
        if self._hold or self._erase is EraseMode.NONE or request is None:
            return
        end = span.begin if self._erase is EraseMode.PROMPT else None
        self._hold = request.holds.add(self._begin(span), hides=True, end=end)

    def _release(self) -> None:
        if self._hold and (request := current_request()):
            request.holds.release(self._hold)
        self._hold = None
