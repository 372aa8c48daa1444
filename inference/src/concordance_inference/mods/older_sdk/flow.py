"""Flows as older mods define them and look into them.

What differs from `concordance_sdk.flow`: a request's state is found under older, private names, it
says which question is asked, what a question's `then` says goes before its branches, and its fields
can be read and set. A route has its tool's function as `callback`.
"""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, Self

from concordance_sdk import Action, Actions, Event, Tokenizer, flow
from concordance_sdk.constraints import Constraint
from concordance_sdk.flow import RouteKind
from concordance_sdk.flow.question import asking
from concordance_sdk.self_prompt import EraseMode, SelfPromptRun
from msgspec import Struct
from msgspec.structs import force_setattr

logger = logging.getLogger(__name__)


class FlowRoute(flow.FlowRoute, frozen=True):
    """Where a flow goes; a tool's function may be given as `callback`, and a message be none."""

    callback: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        """Find the function under either name, take no message for an empty one, and check."""
        if self.kind is RouteKind.MESSAGE:
            force_setattr(self, "message", self.message or "")
        if self.kind is RouteKind.TOOL:
            found = self.callback or self.target
            force_setattr(self, "target", found)
            force_setattr(self, "callback", found)
        super().__post_init__()


def _older(make: Callable[..., flow.FlowRoute]) -> Callable[..., FlowRoute]:
    """A function that makes a route, as it used to be."""

    @functools.wraps(make)
    def made(*args: Any, **options: Any) -> FlowRoute:
        route = make(*args, **options)
        return FlowRoute(route.kind, route.target, route.message)

    return made


def route_message(text: str | None) -> FlowRoute:
    """Write a text, if any, and end the completion."""
    return FlowRoute(RouteKind.MESSAGE, message=text)


route_noop = _older(flow.route_noop)
route_output = _older(flow.route_output)
route_question = _older(flow.route_question)
route_summary = _older(flow.route_summary)
route_tool = _older(flow.route_tool)


class FlowQuestion(flow.FlowQuestion[Any]):
    """A question whose branches are only asked if no `then` says where every answer leads.

    It asks what its fields say when it is asked.
    """

    def __init__(
        self,
        name: str,
        prompt: str,
        strategy: Constraint,
        completion_text: str | None = "\n",
        erase_mode: EraseMode | str | None = EraseMode.NONE,
        default_route: Any = None,
    ) -> None:
        """Define a question, by the same arguments and where it leads."""
        super().__init__(name, prompt, strategy, completion_text, erase_mode)
        self.prompt = prompt
        self.strategy = strategy
        self.completion_text = completion_text
        self.erase_mode = erase_mode
        if default_route is not None:
            self.then(default_route)

    def start(self, tokenizer: Tokenizer) -> SelfPromptRun:
        """Begin to ask what the fields say now."""
        question = asking(self.prompt, self.strategy, self.completion_text, self.erase_mode)
        return question.start(tokenizer)

    def known_answer(self, state: Any) -> str | None:
        """The answer, if it need not be asked for; one that cannot be found or read is asked."""
        try:
            return super().known_answer(state)
        except Exception:
            logger.info("the auto-answer of %r failed; it is asked", self, exc_info=True)
            return None

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
