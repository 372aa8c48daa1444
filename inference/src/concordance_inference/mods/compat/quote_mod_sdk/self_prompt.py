"""Self-prompts as older mods define them and hand events to them.

What differs from `concordance_sdk.self_prompt`: the answer may follow a strategy of the author's
own; a self-prompt is complete when what it erases has been asked for, not before; an answer whose
prompt is erased stays alone; and every handler but `handle_prefilled` answers with an action.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

from concordance_sdk.per_request import PerRequest
from concordance_sdk.self_prompt import EraseMode
from concordance_sdk.self_prompt.parts import prompt_of
from concordance_shared import ConstraintError

from concordance_inference.mods.compat.quote_mod_sdk.actions import ActionBuilder
from concordance_inference.mods.compat.quote_mod_sdk.decorator import ModCallable, mod
from concordance_inference.mods.compat.quote_mod_sdk.events import (
    Added,
    ForwardPass,
    ModEvent,
    Prefilled,
)
from concordance_inference.mods.compat.quote_mod_sdk.positions import Positions
from concordance_inference.mods.compat.quote_mod_sdk.self_prompt_run import (
    OlderRun,
    compiled_for,
    completion_for,
)
from concordance_inference.mods.compat.quote_mod_sdk.strategies.strategy_constructor import (
    ChoicesStrat,
    ListStrat,
)

#: The score of a token that is not allowed, to whoever reads the masked logits.
MASK_VALUE = -1e9


class SelfPrompt:
    """A prompt that is put into the completion, an answer under a strategy, and what stays.

    Hand it the events of a request by `handle_prefilled`, `handle_forward_pass` and `handle_added`.
    What `handle_added` answers may be dropped: what matters is asked for again.
    """

    def __init__(
        self,
        *,
        prompt: Any = None,
        strategy: Any,
        completion: Any = None,
        erase: EraseMode | str | None = EraseMode.NONE,
        argmax_sampling: bool = False,
        mask_value: float = MASK_VALUE,
    ) -> None:
        """Define a self-prompt.

        Args:
            prompt: What is put there: `{"text": ...}` or `{"tokens": [...]}`, a text or tokens.
            strategy: What the answer may be: a constructor, or a strategy of the author's own.
            completion: Text that is written behind the answer, or a mapping with it as `suffix`.
            erase: What is taken back once there is an answer.
            argmax_sampling: Take the likeliest of the allowed tokens.
            mask_value: The score of those that are not.

        Raises:
            ConstraintError: The prompt or the strategy is none.
        """
        _require_strategy(strategy)
        self._prompt = prompt_of(prompt)
        self._strategy = strategy
        self._completion = completion
        self._erase = EraseMode(erase or EraseMode.NONE)
        self._argmax = argmax_sampling
        self._mask_value = float(mask_value)
        self._positions = Positions()
        self._asked: PerRequest[_Asked] = PerRequest(lambda _: _Asked(self._strategy))

    @property
    def _states(self) -> "_States":
        """What is known of each request, to be looked at."""
        return _States(self._run_of, self.answer_tokens)

    def start(self, tokenizer: Any, strategy: Any = None) -> OlderRun:
        """Begin to ask, by hand.

        Raises:
            ConstraintError: There is no such answer, or not with this tokenizer.
        """
        strategy = strategy or self._strategy
        completion = completion_for(strategy, self._completion, self._erase, tokenizer)
        prompt = self._prompt
        if isinstance(prompt, str):
            prompt = tokenizer.encode(prompt, add_special_tokens=False) if prompt else []
        return OlderRun(
            [int(token_id) for token_id in prompt],
            compiled_for(strategy, completion, tokenizer),
            completion=completion,
            erase=self._erase,
            argmax_sampling=self._argmax,
            mask_value=self._mask_value,
            tokenizer=tokenizer,
        )

    def handle_event(self, event: ModEvent, actions: ActionBuilder, tokenizer: Any) -> Any:
        """Answer any event of a request."""
        if isinstance(event, Prefilled):
            self.handle_prefilled(event, tokenizer)
        if isinstance(event, ForwardPass):
            return self.handle_forward_pass(event, actions, tokenizer)
        if isinstance(event, Added):
            return self.handle_added(event, actions, tokenizer) or actions.noop()
        return actions.noop()

    def handle_prefilled(self, event: Prefilled, tokenizer: Any) -> None:
        """Make the strategy ready before the model reads the prompt; may be left out."""
        if tokenizer is not None:
            self._running(event.request_id, tokenizer)

    def handle_forward_pass(
        self, event: ForwardPass, actions: ActionBuilder, tokenizer: Any
    ) -> Any:
        """Put the prompt there, say what the model may decide between, or erase.

        Raises:
            ConstraintError: There is no such answer, or not with this tokenizer.
        """
        if tokenizer is None:
            return actions.noop()
        position = self._positions.of(event)
        run = self._running(event.request_id, tokenizer)
        if run.waits(self._positions.turns_of(event), position):
            return actions.noop()
        edit = run.before(position)
        is_decided = bool(edit) or run.is_complete
        action = edit.action(cast(Any, actions)) if is_decided else run.masked(cast(Any, actions))
        self._positions.note(event, action)
        return action or actions.noop()

    def handle_added(self, event: Added, actions: ActionBuilder, tokenizer: Any) -> Any:
        """Follow the answer; what must come behind, if that is known. `None` for nothing."""
        del tokenizer
        position = self._positions.of(event)
        run = self._run_of(event.request_id)
        if run is None:
            return None
        action = run.behind(position, event.added_tokens).action(cast(Any, actions))
        self._positions.note(event, action)
        return action

    def is_complete(self, request_id: str) -> bool:
        """Whether a request has its answer, and what is erased was asked for."""
        run = self._run_of(request_id)
        return run is not None and run.is_settled

    def answer_tokens(self, request_id: str) -> list[int] | None:
        """The token ids of a request's answer; `None` before it is complete."""
        asked, run = self._asked.get(request_id), self._run_of(request_id)
        if asked is None or run is None or not run.is_settled:
            return None
        return list(asked.tokenizer.encode(run.text, add_special_tokens=False))

    def refresh_responses(
        self,
        responses: Sequence[str] | None,
        request_id: str | None = None,
        idx: int | None = None,
    ) -> None:
        """Give other choices, if the answer is one of several texts.

        Args:
            responses: The choices from now on.
            request_id: For this request only, which is then asked anew; for all others too that
                have not begun, if left out.
            idx: Which element of a list it is whose choices change.
        """
        choices = [str(response) for response in responses or ()]
        if request_id is None:
            self._strategy = _with_choices(self._strategy, choices, idx)
        else:
            asked = self._asked[request_id]
            asked.strategy, asked.run = _with_choices(asked.strategy, choices, idx), None

    def _run_of(self, request_id: str) -> OlderRun | None:
        asked = self._asked.get(request_id)
        return asked.run if asked else None

    def _running(self, request_id: str, tokenizer: Any) -> OlderRun:
        asked = self._asked[request_id]
        if asked.run is None:
            asked.run, asked.tokenizer = self.start(tokenizer, asked.strategy), tokenizer
        return asked.run


class _Asked:
    """A self-prompt in one request."""

    def __init__(self, strategy: Any) -> None:
        self.strategy = strategy
        self.run: OlderRun | None = None
        self.tokenizer: Any = None


class _States:
    """The states of a self-prompt as the dictionary that they used to be in, to be read."""

    def __init__(
        self, run_of: Callable[[str], OlderRun | None], answer_of: Callable[[str], Any]
    ) -> None:
        self._run_of = run_of
        self._answer_of = answer_of

    def get(self, request_id: str, default: Any = None) -> Any:
        """What is known of a request."""
        run = self._run_of(request_id)
        if run is None:
            return default
        answer = self._answer_of(request_id)
        return SimpleNamespace(
            compiled=run,
            completed=run.is_settled,
            answer_tokens=answer or [],
            prompt_tokens=run.prompt_ids,
            prompt_emitted=run.has_begun,
            outstanding_forced=0,
        )

    def __contains__(self, request_id: str) -> bool:
        return self.get(request_id) is not None

    def __getitem__(self, request_id: str) -> Any:
        if (state := self.get(request_id)) is None:
            raise KeyError(request_id)
        return state


def self_prompt_mod(
    *,
    prompt: Any = None,
    strategy: Any,
    completion: Any = None,
    erase: EraseMode | str | None = EraseMode.NONE,
    mask_value: float = MASK_VALUE,
    name: str = "self_prompt",
) -> ModCallable:
    """Make a mod that asks a self-prompt where the completion begins; it is registered.

    Raises:
        ConstraintError: The prompt or the strategy is none.
    """
    self_prompt = SelfPrompt(
        prompt=prompt, strategy=strategy, completion=completion, erase=erase, mask_value=mask_value
    )

    def handler(event: ModEvent, actions: ActionBuilder, tokenizer: Any) -> Any:
        """Asks a self-prompt where the completion begins."""
        return self_prompt.handle_event(event, actions, tokenizer)

    handler.__name__ = name
    return mod(handler)


def self_prompt_constrained_mod(  # as it was
    *,
    prompt_text: str | None = None,
    allowed_responses: Sequence[str],
    prompt_tokens: Sequence[int] | None = None,
    completion_text: str | None = "\n",
    erase_after_complete: str | None = None,
    mask_value: float = MASK_VALUE,
    tokenizer: Any = None,
) -> ModCallable:
    """Make a mod that asks for one of several texts: how `self_prompt_mod` was first written."""
    del tokenizer
    given: Mapping[str, Any] = {"text": prompt_text or ""}
    if prompt_tokens is not None:
        given = {"tokens": [int(token_id) for token_id in prompt_tokens]}
    erase = {"all": EraseMode.ALL, "prompt_only": EraseMode.PROMPT}.get(erase_after_complete or "")
    return self_prompt_mod(
        prompt=given,
        strategy=ChoicesStrat(list(allowed_responses)),
        completion=completion_text,
        erase=erase,
        mask_value=mask_value,
    )


def _require_strategy(strategy: Any) -> None:
    names = ("into_strategy", "write", "allowed_tokens")
    if isinstance(strategy, type) or not any(hasattr(strategy, name) for name in names):
        is_class = isinstance(strategy, type)
        instead = f"; make one of it: {strategy.__name__}(...)" if is_class else ""
        raise ConstraintError(
            f"the strategy of a SelfPrompt is a ChoicesStrat, UntilStrat, CharsStrat or ListStrat, "
            f"or has `into_strategy(tokenizer)`, not {strategy!r:.60}{instead}"
        )


def _with_choices(strategy: Any, choices: list[str], idx: int | None) -> Any:
    """A strategy with other choices; one that is not made of choices as it is."""
    if isinstance(strategy, ChoicesStrat):
        changed: Any = copy.copy(strategy)
        changed.choices = choices
        return changed
    if not isinstance(strategy, ListStrat):
        return strategy
    changed = copy.copy(strategy)
    if isinstance(strategy.elements, list):
        elements = cast(list[Any], strategy.elements)
        at = 0 if idx is None and len(elements) == 1 else idx
        changed.elements = [
            _with_choices(each, choices, None) if i == at else each
            for i, each in enumerate(elements)
        ]
    else:
        changed.elements = _with_choices(strategy.elements, choices, None)
    return changed
