"""A self-prompt: a question to the model in the middle of its own completion."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from concordance_shared import (
    Action,
    Added,
    ConstraintError,
    Event,
    Finished,
    ForwardPass,
    Prefilled,
)
from msgspec import Struct
from msgspec.structs import replace

from concordance_sdk.action_builder import Actions
from concordance_sdk.constraints import ChoicesStrat, Constraint, ListStrat, compile_constraint
from concordance_sdk.constraints.compiled import CompiledConstraint
from concordance_sdk.constraints.constraint import require_constraint
from concordance_sdk.constraints.grammar_builder import GrammarBuilder, Part, literal
from concordance_sdk.follower import Follower
from concordance_sdk.per_request import PerRequest
from concordance_sdk.self_prompt.edit import EraseMode
from concordance_sdk.self_prompt.run import SelfPromptRun
from concordance_sdk.tokenizer import Tokenizer

#: A prompt as text, as token ids, or as a mapping with one of them.
Prompt = str | Sequence[int] | Mapping[str, Any]


class SelfPrompt(Follower):
    """A prompt forced into the completion, an answer under a constraint, and what of them stays.

    Defined once, asked in any number of requests; each request has its own answer, which is freed
    with the request. List it in the `parts` of a class mod; or, in a function mod, return
    `handle_event(...)` for every event. After the answer the completion continues freely.

    Examples:
        >>> from concordance_sdk import Finished, mod
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.testing import play
        >>> polite = SelfPrompt(
        ...     prompt=" Was that polite? ",
        ...     constraint=ChoicesStrat(["yes", "no"]),
        ...     erase=EraseMode.ALL,
        ... )
        >>> answers = []
        >>> @mod
        ... class Judge:
        ...     def parts(self):
        ...         return [polite]
        ...
        ...     def finished(self, event, actions):
        ...         answers.append(polite.answer(event.request_id))
        >>> play(Judge, script="no").text, answers
        ('no', ['no'])
    """

    def __init__(
        self,
        *,
        prompt: Prompt | None = None,
        constraint: Constraint,
        suffix: str | None = None,
        erase: EraseMode | str = EraseMode.NONE,
        argmax_sampling: bool = False,
    ) -> None:
        """Define a self-prompt.

        Args:
            prompt: A text, token ids, or a mapping that has one of them as `text` or `tokens`.
                Special tokens are recognised where a text spells them.
            constraint: The texts that the answer may be.
            suffix: Text to write after the answer, which ends an answer that could continue.
            erase: What to remove, from text and KV cache, once there is an answer.
            argmax_sampling: Take the top allowed token, whatever the temperature.

        Raises:
            ConstraintError: The prompt, the suffix or the constraint is of a wrong type.
        """
        require_constraint(constraint, "the constraint of a SelfPrompt")
        self._prompt = prompt_of(prompt)
        self._constraint = constraint
        self._suffix = _suffix_of(suffix)
        self._erase = EraseMode(erase)
        self._argmax_sampling = argmax_sampling
        self._asked: PerRequest[_Asked] = PerRequest(lambda _: _Asked(self._constraint))

    @property
    def erases(self) -> bool:
        """True if it removes the prompt, or all, once it is answered."""
        return self._erase is not EraseMode.NONE

    @property
    def max_backtrack(self) -> int:
        """Tokens that a stream always holds back: an end-of-sequence token after the answer.

        What it erases is held back from its first token on, by `RequestContext.holds`.
        """
        return 1

    def start(self, tokenizer: Tokenizer) -> SelfPromptRun:
        """Start a run by hand, for mods that keep the runs themselves.

        Raises:
            ConstraintError: The constraint cannot be enforced with this tokenizer.
        """
        return self._run(self._constraint, tokenizer)

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Compile the constraint, which is cached.

        Raises:
            ConstraintError: The constraint cannot be enforced with this tokenizer.
        """
        self._compiled(self._constraint, tokenizer)

    def handle_event(self, event: Event, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Handle any event of a request, for function mods.

        Raises:
            ConstraintError: The constraint cannot be enforced with this tokenizer, or another mod
                put tokens there that it does not allow.
        """
        match event:
            case Prefilled():
                return self.prefilled(event, actions, tokenizer)
            case ForwardPass():
                return self.forward_pass(event, actions, tokenizer)
            case Added():
                return self.added(event, actions, tokenizer)
            case Finished():
                self._asked.release(event.request_id)
                return None
            case _:
                return None

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Compile the constraint before the prompt is processed; optional.

        Raises:
            ConstraintError: The constraint cannot be enforced with this tokenizer.
        """
        del actions
        self._running(event.request_id, tokenizer)

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Force the prompt, or mask the logits of the answer.

        Raises:
            ConstraintError: The constraint cannot be enforced with this tokenizer.
        """
        run = self._running(event.request_id, tokenizer)
        if run.waits(event.step):
            return None
        edit = run.before(event.step)
        return edit.action(actions) if edit or run.is_complete else run.masked(actions)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Follow the answer: force the tokens that must follow, or erase once it has ended.

        Raises:
            ConstraintError: Another mod put tokens there that the answer does not allow.
        """
        del tokenizer
        run = self._run_of(event.request_id)
        return run.after(event.step, event.added_tokens).action(actions) if run else None

    def is_complete(self, request_id: str) -> bool:
        """True if the request has its answer."""
        return self.answer(request_id) is not None

    def answer(self, request_id: str) -> str | None:
        """The answer of a running request; `None` before there is one."""
        run = self._run_of(request_id)
        return run.text if run else None

    def value(self, request_id: str) -> Any:
        """The value of a request's answer, such as parsed JSON; `None` before there is one."""
        run = self._run_of(request_id)
        return run.value if run else None

    def answer_tokens(self, request_id: str) -> list[int] | None:
        """The token ids of a request's answer; `None` before there is one."""
        asked, answer = self._asked.get(request_id), self.answer(request_id)
        if asked is None or asked.tokenizer is None or answer is None:
            return None
        return asked.tokenizer.encode(answer)

    def refresh_responses(
        self,
        responses: Sequence[str] | None,
        request_id: str | None = None,
        idx: int | None = None,
    ) -> None:
        """Replace the choices of a constraint made of choices.

        Args:
            responses: The new choices.
            request_id: For this request only, which then asks again; by default, for all requests
                that have not started to ask.
            idx: The index of the element whose choices change, if the constraint is a fixed tuple.

        Raises:
            ConstraintError: The constraint is not made of choices, or there are none.
        """
        choices = list(responses or ())
        if request_id is None:
            self._constraint = _with_choices(self._constraint, choices, idx)
        else:
            asked = self._asked[request_id]
            asked.constraint, asked.run = _with_choices(asked.constraint, choices, idx), None

    def _run_of(self, request_id: str) -> SelfPromptRun | None:
        asked = self._asked.get(request_id)
        return asked.run if asked else None

    def _running(self, request_id: str, tokenizer: Tokenizer) -> SelfPromptRun:
        asked = self._asked[request_id]
        if asked.run is None:
            asked.run, asked.tokenizer = self._run(asked.constraint, tokenizer), tokenizer
        return asked.run

    def _run(self, constraint: Constraint, tokenizer: Tokenizer) -> SelfPromptRun:
        prompt = self._prompt
        return SelfPromptRun(
            tokenizer.encode(prompt) if isinstance(prompt, str) else prompt,
            self._compiled(constraint, tokenizer),
            erase=self._erase,
            temperature=0.0 if self._argmax_sampling else None,
        )

    def _compiled(self, constraint: Constraint, tokenizer: Tokenizer) -> CompiledConstraint:
        # A list with `end_with` has its own suffix.
        has_end = isinstance(constraint, ListStrat) and constraint.end_with
        if self._suffix and not has_end:
            constraint = Ended(constraint, self._suffix)
        return compile_constraint(constraint, tokenizer)


class Ended(Struct, frozen=True):
    """A constraint followed by a suffix, which ends an answer that could continue."""

    constraint: Constraint
    suffix: str

    def write(self, grammar: GrammarBuilder) -> Part:
        """The grammar of the answer and the suffix."""
        part = grammar.sequence([self.constraint.write(grammar), literal(self.suffix)])
        assert part is not None
        return part

    def answer(self, text: str) -> str:
        """The answer, without the suffix."""
        return self.constraint.answer(text.removesuffix(self.suffix))

    def value(self, text: str) -> Any:
        """The value of the answer."""
        return self.constraint.value(text.removesuffix(self.suffix))


class _Asked:
    """A self-prompt in one request."""

    def __init__(self, constraint: Constraint) -> None:
        self.constraint = constraint
        self.run: SelfPromptRun | None = None
        self.tokenizer: Tokenizer | None = None


def prompt_of(prompt: object) -> str | list[int]:
    """Normalize a prompt to text or token ids.

    Raises:
        ConstraintError: It is neither.
    """
    if isinstance(prompt, Mapping):
        given = cast(Mapping[str, Any], prompt)
        prompt = given.get("tokens", given.get("text"))
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    if isinstance(prompt, Sequence) and all(isinstance(i, int) for i in cast(list[object], prompt)):
        return list(cast(Sequence[int], prompt))
    raise ConstraintError(
        "the prompt of a SelfPrompt is a text, a list of token ids, or a mapping with one of them "
        f"as 'text' or 'tokens', not {prompt!r:.60}"
    )


def _suffix_of(suffix: object) -> str:
    if suffix is None or isinstance(suffix, str):
        return suffix or ""
    raise ConstraintError(f"the suffix of a SelfPrompt is a text or None, not {suffix!r:.60}")


def _with_choices(constraint: Constraint, choices: list[str], idx: int | None) -> Constraint:
    match constraint:
        case ChoicesStrat():
            return ChoicesStrat(choices)
        case ListStrat(elements) if constraint.is_tuple:
            fixed = list(cast(Sequence[Constraint], elements))
            if idx is None or not 0 <= idx < len(fixed):
                raise ConstraintError(
                    f"`idx` is {idx}; the constraint has {len(fixed)} elements, and `idx`, counted "
                    "from 0, selects the one whose choices change"
                )
            fixed[idx] = _with_choices(fixed[idx], choices, None)
            return replace(constraint, elements=fixed)
        case ListStrat(elements):
            element = cast(Constraint, elements)
            return replace(constraint, elements=_with_choices(element, choices, None))
        case _:
            raise ConstraintError(
                "refresh_responses changes a ChoicesStrat, or one in a ListStrat, not "
                f"{constraint!r:.60}"
            )
