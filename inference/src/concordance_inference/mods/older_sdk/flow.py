"""Flows as older mods define them and look into them.

What differs from `concordance_sdk.flow`: a request's state is found under older, private names, it
says which question is asked, and what a question's `then` says goes before its branches.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

from concordance_sdk import Action, Actions, Event, Tokenizer, flow
from msgspec import Struct


class FlowQuestion(flow.FlowQuestion[Any]):
    """A question whose branches are only asked if no `then` says where every answer leads."""

    def then(self, target: Any) -> Self:
        """Go there after any answer that `on` says nothing about."""
        self.branches.clear()
        super().then(target)
        return self

    def branch(self, resolver: Callable[[Any], Any]) -> Self:
        """Go where a function of the state says."""
        if self.default_route is None:
            super().branch(resolver)
        return self


class RequestState(Struct):
    """The state of a request whose flow names none of its own."""

    request_id: str
    current_question: Any = None
    pending_route: Any = None
    answers: dict[str, str] = {}  # question's name -> answer
    data: dict[str, Any] = {}  # whatever the author keeps


class FlowEngine(flow.FlowEngine[Any]):
    """An engine whose states are also found as `_get_state(id)` and `_states.get(id)`."""

    def __init__(
        self,
        *,
        entry_question: Any,
        flows: Mapping[str, Any] | None = None,
        state_factory: Callable[[str], Any] | None = None,
    ) -> None:
        """Define an engine, by the same arguments."""
        super().__init__(
            entry_question=entry_question, flows=flows, state_factory=state_factory or RequestState
        )
        self.entry_question = entry_question
        self.flows = dict(flows or {})
        self._states = _States(self.known_state)

    def handle_event(self, event: Event, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Answer any event of a request, and keep in its state which question is asked.

        Raises:
            ConstraintError: A question's strategy cannot be enforced.
            FlowError: A route leads nowhere, or never ends.
        """
        action = super().handle_event(event, actions, tokenizer)
        state = self.state(event.request_id)
        if hasattr(state, "current_question"):
            state.current_question = self.current_question(event.request_id) or self.entry_question
        return action

    def known_state(self, request_id: str) -> Any:
        """The state of a request that has one; `None` before, and when it is over."""
        run = self._runs.get(request_id)
        return run.state if run else None

    def _get_state(self, request_id: str) -> Any:
        return self.state(request_id)


class _States:
    """The states of an engine as the dictionary that they used to be in, to be read."""

    def __init__(self, find: Callable[[str], Any]) -> None:
        self._find = find

    def __contains__(self, request_id: str) -> bool:
        return self._find(request_id) is not None

    def __getitem__(self, request_id: str) -> Any:
        state = self._find(request_id)
        if state is None:
            raise KeyError(request_id)
        return state

    def get(self, request_id: str, default: Any = None) -> Any:
        """The state of a request, if it has one."""
        state = self._find(request_id)
        return default if state is None else state
