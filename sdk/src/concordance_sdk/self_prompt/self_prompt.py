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
        ...     strategy=ChoicesStrat(["yes", "no"]),
        ...     erase=EraseMode.ALL,
        ... )
        >>> answers = []
        >>> @mod(max_backtrack=None)
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
        strategy: Constraint,
        completion: str | Mapping[str, Any] | None = None,
        erase: EraseMode | str = EraseMode.NONE,
        argmax_sampling: bool = False,
        mask_value: float | None = None,
    ) -> None:
        """Define a self-prompt.

        Args:
            prompt: A text, token ids, or a mapping that has one of them as `text` or `tokens`.
                Special tokens are recognised where a text spells them.
            strategy: The texts that the answer may be.
            completion: Text to write after the answer; also a mapping that has it as `suffix`. It
                ends an answer that could continue.
            erase: What to remove, from text and KV cache, once there is an answer.
            argmax_sampling: Take the top allowed token, whatever the temperature.
            mask_value: Not needed: tokens that are not allowed are never sampled. Mods written for
                other engines give one.

        Raises:
            ConstraintError: The prompt, the completion or the strategy is of a wrong type.
        """
        del mask_value
        require_constraint(strategy, "the strategy of a SelfPrompt")
        self._prompt = prompt_of(prompt)
        self._strategy = strategy
        self._completion = _completion_of(completion)
        self._erase = EraseMode(erase)
        self._argmax_sampling = argmax_sampling
        self._asked: PerRequest[_Asked] = PerRequest(lambda _: _Asked(self._strategy))

    @property
    def max_backtrack(self) -> int | None:
        """Tokens that a stream holds back: all if it erases, else an end-of-sequence token."""
        return 1 if self._erase is EraseMode.NONE else None

    def start(self, tokenizer: Tokenizer) -> SelfPromptRun:
        """Start a run by hand, for mods that keep the runs themselves.

        Raises:
            ConstraintError: The strategy cannot be enforced with this tokenizer.
        """
        return self._run(self._strategy, tokenizer)

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Compile the strategy, which is cached.

        Raises:
            ConstraintError: The strategy cannot be enforced with this tokenizer.
        """
        self._compiled(self._strategy, tokenizer)

    def handle_event(self, event: Event, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Handle any event of a request, for function mods.

        Raises:
            ConstraintError: The strategy cannot be enforced with this tokenizer, or another mod
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
        """Compile the strategy before the prompt is processed; optional.

        Raises:
            ConstraintError: The strategy cannot be enforced with this tokenizer.
        """
        del actions
        self._running(event.request_id, tokenizer)

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Force the prompt, or mask the logits of the answer.

        Raises:
            ConstraintError: The strategy cannot be enforced with this tokenizer.
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
        return run.behind(event.step, event.added_tokens).action(actions) if run else None

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
        """Replace the choices of a strategy made of choices.

        Args:
            responses: The new choices.
            request_id: For this request only, which then asks again; by default, for all requests
                that have not started to ask.
            idx: The index of the element whose choices change, if the strategy is a fixed tuple.

        Raises:
            ConstraintError: The strategy is not made of choices, or there are none.
        """
        choices = list(responses or ())
        if request_id is None:
            self._strategy = _with_choices(self._strategy, choices, idx)
        else:
            asked = self._asked[request_id]
            asked.strategy, asked.run = _with_choices(asked.strategy, choices, idx), None

    def _run_of(self, request_id: str) -> SelfPromptRun | None:
        asked = self._asked.get(request_id)
        return asked.run if asked else None

    def _running(self, request_id: str, tokenizer: Tokenizer) -> SelfPromptRun:
        asked = self._asked[request_id]
        if asked.run is None:
            asked.run, asked.tokenizer = self._run(asked.strategy, tokenizer), tokenizer
        return asked.run

    def _run(self, strategy: Constraint, tokenizer: Tokenizer) -> SelfPromptRun:
        prompt = self._prompt
        return SelfPromptRun(
            tokenizer.encode(prompt) if isinstance(prompt, str) else prompt,
            self._compiled(strategy, tokenizer),
            erase=self._erase,
            argmax_sampling=self._argmax_sampling,
        )

    def _compiled(self, strategy: Constraint, tokenizer: Tokenizer) -> CompiledConstraint:
        # A list with `end_with` has its own suffix.
        has_end = isinstance(strategy, ListStrat) and strategy.end_with
        if self._completion and not has_end:
            strategy = Ended(strategy, self._completion)
        return compile_constraint(strategy, tokenizer)


class Ended(Struct, frozen=True):
    """A constraint followed by a suffix, which ends an answer that could continue."""

    strategy: Constraint
    completion: str

    def write(self, grammar: GrammarBuilder) -> Part:
        """The grammar of the answer and the suffix."""
        part = grammar.sequence([self.strategy.write(grammar), literal(self.completion)])
        assert part is not None
        return part

    def answer(self, text: str) -> str:
        """The answer, without the suffix."""
        return self.strategy.answer(text.removesuffix(self.completion))

    def value(self, text: str) -> Any:
        """The value of the answer."""
        return self.strategy.value(text.removesuffix(self.completion))


class _Asked:
    """A self-prompt in one request."""

    def __init__(self, strategy: Constraint) -> None:
        self.strategy = strategy
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


def _completion_of(completion: object) -> str:
    if isinstance(completion, Mapping):
        given = cast(Mapping[str, Any], completion)
        completion = given.get("suffix") if given.get("force", True) else None
    if completion is None or isinstance(completion, str):
        return completion or ""
    raise ConstraintError(
        "the completion of a SelfPrompt is a text, or a mapping with it as 'suffix', not "
        f"{completion!r:.60}"
    )


def _with_choices(strategy: Constraint, choices: list[str], idx: int | None) -> Constraint:
    match strategy:
        case ChoicesStrat():
            return ChoicesStrat(choices)
        case ListStrat(elements) if strategy.is_tuple:
            fixed = list(cast(Sequence[Constraint], elements))
            if idx is None or not 0 <= idx < len(fixed):
                raise ConstraintError(
                    f"`idx` is {idx}; the strategy has {len(fixed)} elements, and `idx`, counted "
                    "from 0, selects the one whose choices change"
                )
            fixed[idx] = _with_choices(fixed[idx], choices, None)
            return replace(strategy, elements=fixed)
        case ListStrat(elements):
            element = cast(Constraint, elements)
            return replace(strategy, elements=_with_choices(element, choices, None))
        case _:
            raise ConstraintError(
                "refresh_responses changes a ChoicesStrat, or one in a ListStrat, not "
                f"{strategy!r:.60}"
            )
