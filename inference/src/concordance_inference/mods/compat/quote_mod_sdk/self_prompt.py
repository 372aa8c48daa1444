"""Self-prompts of `quote_mod_sdk`.

Differences from `concordance_sdk.self_prompt`: the strategy can be the author's own; a self-prompt
is complete only once its erasure has been requested; an answer whose prompt is erased has no
suffix; and every handler except `handle_prefilled` returns an action.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

from concordance_sdk.per_request import PerRequest
from concordance_sdk.self_prompt import EraseMode
from concordance_sdk.self_prompt.self_prompt import prompt_of
from concordance_shared import ConstraintError

from concordance_inference.mods.compat.quote_mod_sdk.actions import ActionBuilder
from concordance_inference.mods.compat.quote_mod_sdk.decorator import ModCallable, mod
from concordance_inference.mods.compat.quote_mod_sdk.events import (
    Added,
    ForwardPass,
    ModEvent,
    Prefilled,
)
from concordance_inference.mods.compat.quote_mod_sdk.positions import Positions, is_by_hand
from concordance_inference.mods.compat.quote_mod_sdk.self_prompt_run import (
    OlderRun,
    compiled_for,
    suffix_for,
)
from concordance_inference.mods.compat.quote_mod_sdk.strategies.strategy_constructor import (
    ChoicesStrat,
    ListStrat,
)

#: Default logit of tokens that are not allowed, for mods that read the masked logits.
MASK_VALUE = -1e9


class SelfPrompt:
    """A prompt that is forced into the completion, and an answer that follows a strategy.

    Pass the events of a request to `handle_prefilled`, `handle_forward_pass` and `handle_added`. A
    mod may drop the action of `handle_added`: what matters is requested again.
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
            prompt: The forced prompt: `{"text": ...}` or `{"tokens": [...]}`, a text or tokens.
            strategy: The strategy of the answer: a constructor, or the author's own.
            completion: The suffix after the answer, or a mapping with it as `suffix`.
            erase: What to erase once the answer is complete.
            argmax_sampling: Choose the most probable allowed token.
            mask_value: The logit of tokens that are not allowed.

        Raises:
            ConstraintError: The prompt or the strategy is invalid.
        """
        _require_strategy(strategy)
        self._prompt = prompt_of(prompt)
        self._strategy = strategy
        self._completion = completion
        self._erase = EraseMode(erase or EraseMode.NONE)
        self._argmax = argmax_sampling
        self._mask_value = float(mask_value)
        self._positions = Positions()
        self._requests: PerRequest[_RequestState] = PerRequest(
            lambda _: _RequestState(self._strategy)
        )

    @property
    def _states(self) -> "_States":
        """The states of requests; mods read this private attribute."""
        return _States(self._run_of, self.answer_tokens)

    def start(self, tokenizer: Any, strategy: Any = None) -> OlderRun:
        """Return a run for one request.

        Raises:
            ConstraintError: The strategy allows no answer, or not with this tokenizer.
        """
        strategy = strategy or self._strategy
        suffix = suffix_for(strategy, self._completion, self._erase, tokenizer)
        prompt = self._prompt
        if isinstance(prompt, str):
            prompt = tokenizer.encode(prompt, add_special_tokens=False) if prompt else []
        return OlderRun(
            [int(token_id) for token_id in prompt],
            compiled_for(strategy, suffix, tokenizer),
            suffix=suffix,
            erase=self._erase,
            argmax_sampling=self._argmax,
            mask_value=self._mask_value,
            tokenizer=tokenizer,
        )

    def handle_event(self, event: ModEvent, actions: ActionBuilder, tokenizer: Any) -> Any:
        """Handle any event of a request; return an action."""
        if isinstance(event, Prefilled):
            self.handle_prefilled(event, tokenizer)
        if isinstance(event, ForwardPass):
            return self.handle_forward_pass(event, actions, tokenizer)
        if isinstance(event, Added):
            return self.handle_added(event, actions, tokenizer) or actions.noop()
        return actions.noop()

    def handle_prefilled(self, event: Prefilled, tokenizer: Any) -> None:
        """Compile the strategy before prefill; optional."""
        if tokenizer is not None:
            self._running(event.request_id, tokenizer)

    def handle_forward_pass(
        self, event: ForwardPass, actions: ActionBuilder, tokenizer: Any
    ) -> Any:
        """Force the prompt, restrict sampling to the allowed tokens, or erase.

        Raises:
            ConstraintError: The strategy allows no answer, or not with this tokenizer.
        """
        if tokenizer is None:
            return actions.noop()
        position = self._positions.of(event)
        run = self._running(event.request_id, tokenizer)
        if not is_by_hand(event) and run.waits(position):
            return actions.noop()
        edit = run.before(position)
        has_edit = bool(edit) or run.is_complete
        action = edit.action(cast(Any, actions)) if has_edit else run.masked(cast(Any, actions))
        self._positions.note(event, action)
        return action or actions.noop()

    def handle_added(self, event: Added, actions: ActionBuilder, tokenizer: Any) -> Any:
        """Follow the answer; return an action that forces what must come next, or `None`."""
        del tokenizer
        position = self._positions.of(event)
        run = self._run_of(event.request_id)
        if run is None:
            return None
        action = run.after(position, event.added_tokens).action(cast(Any, actions))
        self._positions.note(event, action)
        return action

    def is_complete(self, request_id: str) -> bool:
        """True if a request has its answer, and the erasure has been requested."""
        run = self._run_of(request_id)
        return run is not None and run.is_settled

    def answer_tokens(self, request_id: str) -> list[int] | None:
        """Return the token ids of a request's answer; `None` before it is complete."""
        state, run = self._requests.get(request_id), self._run_of(request_id)
        if state is None or run is None or not run.is_settled:
            return None
        return list(state.tokenizer.encode(run.text, add_special_tokens=False))

    def refresh_responses(
        self,
        responses: Sequence[str] | None,
        request_id: str | None = None,
        idx: int | None = None,
    ) -> None:
        """Replace the choices, if the answer is one of several texts.

        Args:
            responses: The new choices.
            request_id: The request to change and restart; by default, all requests that have not
                started.
            idx: The index of the list element whose choices change.
        """
        choices = [str(response) for response in responses or ()]
        if request_id is None:
            self._strategy = _with_choices(self._strategy, choices, idx)
        else:
            state = self._requests[request_id]
            state.strategy, state.run = _with_choices(state.strategy, choices, idx), None

    def _run_of(self, request_id: str) -> OlderRun | None:
        state = self._requests.get(request_id)
        return state.run if state else None

    def _running(self, request_id: str, tokenizer: Any) -> OlderRun:
        state = self._requests[request_id]
        if state.run is None:
            state.run, state.tokenizer = self.start(tokenizer, state.strategy), tokenizer
        return state.run


class _RequestState:
    """The state of a self-prompt in one request."""

    def __init__(self, strategy: Any) -> None:
        self.strategy = strategy
        self.run: OlderRun | None = None
        self.tokenizer: Any = None


class _States:
    """The states of a self-prompt, as the dictionary of `quote_mod_sdk`; read-only."""

    def __init__(
        self, run_of: Callable[[str], OlderRun | None], answer_of: Callable[[str], Any]
    ) -> None:
        self._run_of = run_of
        self._answer_of = answer_of

    def get(self, request_id: str, default: Any = None) -> Any:
        """Return the state of a request."""
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
    """Create and register a mod that runs a self-prompt at the start of the completion.

    Raises:
        ConstraintError: The prompt or the strategy is invalid.
    """
    self_prompt = SelfPrompt(
        prompt=prompt, strategy=strategy, completion=completion, erase=erase, mask_value=mask_value
    )

    def handler(event: ModEvent, actions: ActionBuilder, tokenizer: Any) -> Any:
        """Run a self-prompt at the start of the completion."""
        return self_prompt.handle_event(event, actions, tokenizer)

    handler.__name__ = name
    return mod(handler)


def self_prompt_constrained_mod(
    *,
    prompt_text: str | None = None,
    allowed_responses: Sequence[str],
    prompt_tokens: Sequence[int] | None = None,
    completion_text: str | None = "\n",
    erase_after_complete: str | None = None,
    mask_value: float = MASK_VALUE,
    tokenizer: Any = None,
) -> ModCallable:
    """Create and register a mod that prompts for one of several texts."""
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
        instead = f"; create an instance: {strategy.__name__}(...)" if is_class else ""
        raise ConstraintError(
            f"the strategy of a SelfPrompt is {strategy!r:.60}; it must be a ChoicesStrat, "
            "UntilStrat, CharsStrat or ListStrat, or have `into_strategy(tokenizer)`"
            f"{instead}"
        )


def _with_choices(strategy: Any, choices: list[str], idx: int | None) -> Any:
    """Return a strategy with other choices; unchanged if it has none."""
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
