"""Asks the model a question in the middle of its own completion."""

from collections.abc import Mapping, Sequence
from typing import Any

from concordance_shared import (
    Action,
    Added,
    Event,
    Finished,
    ForwardPass,
    Prefilled,
)

from concordance_sdk.action_builder import Actions
from concordance_sdk.constraints import Constraint, compile_constraint
from concordance_sdk.constraints.constraint import require_constraint
from concordance_sdk.per_request import PerRequest
from concordance_sdk.self_prompt.ended import ended
from concordance_sdk.self_prompt.erase import EraseMode
from concordance_sdk.self_prompt.parts import Prompt, completion_of, prompt_of, with_choices
from concordance_sdk.self_prompt.run import SelfPromptRun
from concordance_sdk.tokenizer import Tokenizer


class SelfPrompt:
    """A prompt that is put into the completion, an answer under a constraint, and what stays.

    Defined once, asked in any number of requests; each has an answer of its own, which goes when
    the request goes. Hand it every event of a request with `handle_event`, or `ForwardPass` and
    `Added` with the methods of their names, and return what it answers. After its answer the
    completion goes on freely.

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
        >>> @mod
        ... def judge(event, actions, tokenizer):
        ...     if isinstance(event, Finished):
        ...         answers.append(polite.answer(event.request_id))
        ...     return polite.handle_event(event, actions, tokenizer)
        >>> play(judge, script="no").text, answers
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
            prompt: What is put there: a text, token ids, or a mapping that has one of them as
                `text` or `tokens`. Special tokens are recognised where a text spells them.
            strategy: What the answer may be.
            completion: Text that is written behind the answer; also a mapping that has it as
                `suffix`. A model that could go on ends its answer by it.
            erase: What is taken back, from text and context, once there is an answer.
            argmax_sampling: Take the likeliest of the allowed tokens, whatever the temperature.
            mask_value: Not needed: what is not allowed is never sampled. Mods written for other
                engines give one.

        Raises:
            ConstraintError: The prompt, the completion or the strategy is none.
        """
        del mask_value
        require_constraint(strategy, "the strategy of a SelfPrompt")
        self._prompt = prompt_of(prompt)
        self._strategy = strategy
        self._completion = completion_of(completion)
        self._erase = EraseMode(erase)
        self._argmax_sampling = argmax_sampling
        self._asked: PerRequest[_Asked] = PerRequest(lambda _: _Asked(self._strategy))

    def start(self, tokenizer: Tokenizer) -> SelfPromptRun:
        """Begin to ask, by hand: for mods that keep each asking themselves.

        Raises:
            ConstraintError: The strategy cannot be enforced with this tokenizer.
        """
        return self._run(self._strategy, tokenizer)

    def handle_event(self, event: Event, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Answer any event of a request.

        Raises:
            ConstraintError: The strategy cannot be enforced with this tokenizer, or another mod
                put tokens there that it does not allow.
        """
        match event:
            case Prefilled():
                return self.handle_prefilled(event, tokenizer)
            case ForwardPass():
                return self.handle_forward_pass(event, actions, tokenizer)
            case Added():
                return self.handle_added(event, actions, tokenizer)
            case Finished():
                self._asked.release(event.request_id)
                return None
            case _:
                return None

    def handle_prefilled(self, event: Prefilled, tokenizer: Tokenizer) -> None:
        """Compile the strategy before the model reads the prompt; may be left out.

        Raises:
            ConstraintError: The strategy cannot be enforced with this tokenizer.
        """
        self._running(event.request_id, tokenizer)

    def handle_forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Put the prompt there, or say what the model may decide between.

        Raises:
            ConstraintError: The strategy cannot be enforced with this tokenizer.
        """
        run = self._running(event.request_id, tokenizer)
        if run.waits(event.request_id, event.step):
            return None
        edit = run.before(event.step)
        return edit.action(actions) if edit or run.is_complete else run.masked(actions)

    def handle_added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Follow the answer: what must come next, or what is erased when it has ended.

        Raises:
            ConstraintError: Another mod put tokens there that the answer cannot have.
        """
        del tokenizer
        run = self._run_of(event.request_id)
        return run.behind(event.step, event.added_tokens).action(actions) if run else None

    def is_complete(self, request_id: str) -> bool:
        """Whether a request has its answer."""
        return self.answer(request_id) is not None

    def answer(self, request_id: str) -> str | None:
        """The answer of a request that runs; `None` before there is one."""
        run = self._run_of(request_id)
        return run.text if run else None

    def value(self, request_id: str) -> Any:
        """What the answer of a request means; `None` before there is one."""
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
        """Give other choices, if the answer is one of several texts.

        Args:
            responses: The choices from now on.
            request_id: For this request only, which is then asked anew; for all that have not
                begun to ask, if left out.
            idx: Which element of a list it is whose choices change; needed for a fixed tuple.

        Raises:
            ConstraintError: The strategy is not made of choices, or there are none.
        """
        choices = list(responses or ())
        if request_id is None:
            self._strategy = with_choices(self._strategy, choices, idx)
        else:
            asked = self._asked[request_id]
            asked.strategy, asked.run = with_choices(asked.strategy, choices, idx), None

    def _run_of(self, request_id: str) -> SelfPromptRun | None:
        asked = self._asked.get(request_id)
        return asked.run if asked else None

    def _running(self, request_id: str, tokenizer: Tokenizer) -> SelfPromptRun:
        asked = self._asked[request_id]
        if asked.run is None:
            asked.run, asked.tokenizer = self._run(asked.strategy, tokenizer), tokenizer
        return asked.run

    def _run(self, strategy: Constraint, tokenizer: Tokenizer) -> SelfPromptRun:
        prompt, completion = self._prompt, self._completion
        return SelfPromptRun(
            tokenizer.encode(prompt) if isinstance(prompt, str) else prompt,
            compile_constraint(ended(strategy, completion), tokenizer),
            erase=self._erase,
            argmax_sampling=self._argmax_sampling,
        )


class _Asked:
    """A self-prompt in one request."""

    def __init__(self, strategy: Constraint) -> None:
        self.strategy = strategy
        self.run: SelfPromptRun | None = None
        self.tokenizer: Tokenizer | None = None
