"""Keeps what a request writes to a constraint: follows its events, answers with actions."""

from typing import Any

from concordance_shared import Action, Added, ConstraintError, ForwardPass, Prefilled

from concordance_sdk.action_builder import Actions
from concordance_sdk.constraints.compiled import compile_constraint
from concordance_sdk.constraints.constraint import Constraint, require_constraint
from concordance_sdk.constraints.span import ConstrainedSpan
from concordance_sdk.constraints.validation import named
from concordance_sdk.exclusive import may_write, others_of
from concordance_sdk.mod import mod
from concordance_sdk.text import CompletionText, Cut, PhraseWatch
from concordance_sdk.tokenizer import Tokenizer

#: How many tokens may be taken back to split one in which a phrase ends.
_MAX_SPLIT = 4


class Constrained:
    """Keeps what a request writes to a constraint, from a position on.

    Give it every `ForwardPass` and `Added` event, and return what it answers. It begins at the
    first position that it is asked about, or behind a phrase; where a self-prompt or a flow is
    being written, behind that. Tokens that must come are forced, all in one forward pass; where
    there is a choice, what may not come is masked. What is taken back, by whichever mod, is taken
    back here too. Of several constraints on the same text, all hold.

    Belongs to one request: make it in the `__init__` of a class mod.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.testing import play
        >>> @mod
        ... class Verdict:
        ...     def __init__(self):
        ...         self.verdict = Constrained(ChoicesStrat(["guilty", "not guilty"]))
        ...     def forward_pass(self, event, actions, tokenizer):
        ...         return self.verdict.forward_pass(event, actions, tokenizer)
        ...     def added(self, event, actions, tokenizer):
        ...         return self.verdict.added(event, actions, tokenizer)
        >>> play(Verdict, script="guess").text
        'guilty'
    """

    def __init__(
        self,
        constraint: Constraint,
        *,
        after: str | None = None,
        ends: bool = True,
        argmax_sampling: bool = False,
    ) -> None:
        """Constrain an answer.

        Args:
            constraint: What the answer may be.
            after: It begins behind the first place in the completion where this text stands; at
                the first position that it is asked about if left out. Special tokens count by
                their names, as in `</think>`.
            ends: Whether the completion ends with the answer. If not, it goes on freely.
            argmax_sampling: Take the likeliest of the allowed tokens, whatever the temperature.

        Raises:
            ConstraintError: It is no constraint, or `after` is empty.
        """
        require_constraint(constraint, "what an answer may be")
        if after is not None and not after:
            raise ConstraintError(
                "`after` is a text that an answer begins behind, not an empty one"
            )
        self._constraint = constraint
        self._text = CompletionText(keeps_special=True)
        self._phrase = None if after is None else PhraseWatch(self._text, after)
        #: From which step on it may begin, once there is one.
        self._due = 0 if after is None else None
        self._ends = ends
        self._temperature = 0.0 if argmax_sampling else None
        self._answer: ConstrainedSpan | None = None
        self._has_begun = False  # at any time; it may have been taken back

    @property
    def is_complete(self) -> bool:
        """Whether the answer has ended."""
        return self._answer is not None and self._answer.end is not None

    @property
    def answer(self) -> str | None:
        """The answer; `None` before it has ended."""
        return self._answer.matcher.answer if self._answer and self.is_complete else None

    @property
    def value(self) -> Any:
        """What the answer means; `None` before it has ended."""
        return self._answer.matcher.value if self._answer and self.is_complete else None

    def is_writing(self, step: int) -> bool:
        """Whether a step that comes next is inside of the answer."""
        answer = self._answer
        if answer is None or step < answer.begin:
            return False
        return answer.end is None or step < answer.end

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Find out at once, at `Prefilled` say, whether the constraint can be enforced.

        Raises:
            ConstraintError: It cannot, with this tokenizer.
        """
        compile_constraint(self._constraint, tokenizer)

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Force what must stand here, or mask what may not.

        Raises:
            ConstraintError: The constraint cannot be enforced with this tokenizer.
        """
        self._go_to(event, tokenizer)
        self._join(event, tokenizer)
        if self._answer is None:
            if self._due is None or not self._may_begin(event.request_id, event.step):
                return None
            self._answer = self._started_at(event.step, tokenizer)
        if self.is_complete:
            return self._end(actions, tokenizer)
        if forced := self._answer.forced():
            return actions.force_tokens(forced)
        mask = self._answer.matcher.mask()
        return actions.adjust_logits(mask=mask, token_temp=self._temperature)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Follow what was added, and force what must come behind it.

        Raises:
            ConstraintError: Another mod put tokens there that the constraint does not allow.
        """
        self._go_to(event, tokenizer)
        self._join(event, tokenizer)
        if self._answer is None and (behind := self._behind_phrase()):
            self._due = behind.kept + bool(behind.before)
            if not self._may_begin(event.request_id, behind.kept):
                return None
            if behind.before:
                return _split(behind, self._text, actions)
            self._answer = self._started_at(behind.kept, tokenizer)
        if self._answer is None or self.is_complete:
            return None
        step = max(event.step, self._answer.begin)
        self._answer.follow(step, event.added_tokens[step - event.step :])
        self._check_whole(event)
        return self._behind(self._answer, actions, tokenizer)

    def _join(self, event: ForwardPass | Added, tokenizer: Tokenizer) -> None:
        """Begin where another constraint has begun, which forced tokens before this one was asked.

        Raises:
            ConstraintError: This one does not allow what was written under the other.
        """
        if self._answer is not None or self._phrase is not None or self._has_begun:
            return
        for other in others_of(self, event.request_id):
            answer = other._answer  # noqa: SLF001
            if answer is None or answer.begin > event.step or other._phrase:  # noqa: SLF001
                continue
            written = answer.matcher.token_ids[: event.step - answer.begin]
            if answer.begin + len(written) == event.step:
                self._answer = self._started_at(answer.begin, tokenizer)
                self._answer.follow(answer.begin, written)
                return

    def _check_whole(self, event: Added) -> None:
        """Refuse what another constraint on the same text forced behind the end of this one.

        Raises:
            ConstraintError: The text goes on where this constraint has it end.
        """
        answer = self._answer
        if answer is None or answer.end is None or not self._ends:
            return
        end = answer.end + answer.was_told_to_end
        beside = any(
            other._answer and other._answer.begin == answer.begin  # noqa: SLF001
            for other in others_of(self, event.request_id)
        )
        if beside and end < event.step + len(event.added_tokens):
            raise ConstraintError(
                f"{named(self._constraint)} does not allow what another constraint on the same "
                f"text forces behind {answer.matcher.text[-40:]!r}; both hold, or neither can"
            )

    def _may_begin(self, request_id: str, step: int) -> bool:
        """Whether no self-prompt or flow is being written. Constraints hold at the same time."""
        return may_write(self, request_id, step, beside=Constrained)

    def _behind_phrase(self) -> Cut | None:
        """Where the phrase ends that has just appeared, if it has."""
        match = self._phrase.find() if self._phrase else None
        return self._text.cut(match.end) if match else None

    def _behind(
        self, answer: ConstrainedSpan, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """What comes behind tokens that were added: what must, or the end."""
        if answer.was_told_to_end:
            return None if self._ends else actions.backtrack(1)
        if self.is_complete:
            return self._end(actions, tokenizer)
        forced = answer.forced()
        return actions.force_tokens(forced) if forced else None

    def _started_at(self, step: int, tokenizer: Tokenizer) -> ConstrainedSpan:
        self._has_begun = True
        return ConstrainedSpan(
            compile_constraint(self._constraint, tokenizer).start(at_start=not step), step
        )

    def _go_to(self, event: ForwardPass | Added, tokenizer: Tokenizer) -> None:
        if self._phrase:
            self._text.follow(event, tokenizer)
            if self._due is not None and event.step < self._due:
                self._due = None
        if self._answer and not self._answer.go_to(event.step):
            self._answer = None

    def _end(self, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """End the completion with the answer, if that is asked for."""
        return actions.force_tokens([min(tokenizer.eos_token_ids)]) if self._ends else None


def constrain(
    constraint: Constraint,
    *,
    name: str = "constrained",
    after: str | None = None,
    ends: bool = True,
    argmax_sampling: bool = False,
) -> type[Any]:
    """Make a mod that keeps the answer to a constraint.

    Args:
        constraint: What the answer may be.
        name: What requests call the mod.
        after: It begins behind the first place in the completion where this text stands; at its
            beginning if left out.
        ends: Whether the completion ends with the answer. If not, it goes on freely.
        argmax_sampling: Take the likeliest of the allowed tokens, whatever the temperature.

    Raises:
        ConstraintError: It is no constraint, or `after` is empty.
        ModDefinitionError: The name is none that a request could say.

    Examples:
        >>> from concordance_sdk.constraints import JsonSchema
        >>> from concordance_sdk.testing import play
        >>> flag = constrain(JsonSchema({"enum": [True, False]}), name="flag")
        >>> play(flag, script="false!").text
        'false'
    """
    Constrained(constraint, after=after)  # refuses at once what it would refuse in a request

    @mod(name=name, max_backtrack=_MAX_SPLIT if after else int(not ends))
    class Mod:
        """Keeps the answer to a constraint."""

        def __init__(self) -> None:
            self._constrained = Constrained(
                constraint, after=after, ends=ends, argmax_sampling=argmax_sampling
            )

        def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
            del event, actions
            self._constrained.prepare(tokenizer)

        def forward_pass(
            self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
        ) -> Action | None:
            return self._constrained.forward_pass(event, actions, tokenizer)

        def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
            return self._constrained.added(event, actions, tokenizer)

    return Mod


def _split(behind: Cut, text: CompletionText, actions: Actions) -> Action:
    """Put tokens that end with the phrase in the place of one that goes on behind it."""
    return actions.backtrack(behind.num_tokens, text.encode(behind.before, kept=behind.kept))
