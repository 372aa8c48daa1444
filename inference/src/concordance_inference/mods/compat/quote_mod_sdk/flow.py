"""Flows of `quote_mod_sdk`.

Differences from `concordance_sdk.flow`: a flow continues after an answer at the next `ForwardPass`,
since mods often drop the action returned for `Added`; mods read the states of requests under
private names; a state has the current question, and can be set to the next one; a question's `then`
has precedence over its branches; and fields are mutable.
"""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, Self, TypeVar, cast, runtime_checkable

from concordance_sdk import flow
from concordance_sdk.flow import RouteKind
from concordance_sdk.flow.question import FlowQuestion as _AnyQuestion
from concordance_sdk.flow.routes import RouteBudget, errors_of
from concordance_sdk.flow.run import FlowRun, PendingEdit
from concordance_sdk.per_request import PerRequest
from concordance_sdk.self_prompt import EraseMode
from concordance_shared import FlowError
from msgspec.structs import force_setattr

from concordance_inference.mods.compat.quote_mod_sdk.actions import ActionBuilder
from concordance_inference.mods.compat.quote_mod_sdk.events import (
    Added,
    ForwardPass,
    ModEvent,
    Prefilled,
)
from concordance_inference.mods.compat.quote_mod_sdk.positions import Positions, is_by_hand
from concordance_inference.mods.compat.quote_mod_sdk.self_prompt import SelfPrompt
from concordance_inference.mods.compat.quote_mod_sdk.self_prompt_run import OlderRun

logger = logging.getLogger(__name__)

TState = TypeVar("TState")

RouteTarget = Any
"""A route, a question, a definition, a message, `None`, or a function of the state that returns one
of these."""
RouteSpec = Any


class FlowRoute(flow.FlowRoute, frozen=False):  # type: ignore[misc]  # msgspec allows it
    """A step of a flow; `callback` is another name for a tool's function."""

    callback: Callable[..., Any] | None = None

    def __class_getitem__(cls, _: Any) -> type[Self]:
        """Accept a type argument."""
        return cls

    def __post_init__(self) -> None:
        """Normalize `callback` and `message`, then validate."""
        if self.kind is RouteKind.MESSAGE:
            force_setattr(self, "message", self.message or "")
        if self.kind is RouteKind.TOOL:
            found = self.callback or self.target
            force_setattr(self, "target", found)
            force_setattr(self, "callback", found)
        super().__post_init__()


def route_question(question: Any) -> FlowRoute:
    """Continue with a question, or with the first one of a definition."""
    return FlowRoute(RouteKind.QUESTION, target=question)


def route_message(text: str | None) -> FlowRoute:
    """Append a text, if any, and end the completion."""
    return FlowRoute(RouteKind.MESSAGE, message=text)


def route_output(text: str) -> FlowRoute:
    """Replace the completion by a text."""
    return FlowRoute(RouteKind.OUTPUT, message=text)


def route_summary(message: str | None = None) -> FlowRoute:
    """Append the summary of the flow's definition, or else `message`, and end the completion."""
    return FlowRoute(RouteKind.SUMMARY, message=message)


def route_tool(callback: Callable[..., Any]) -> FlowRoute:
    """Let a function of `(actions, state, tokenizer)` return the action."""
    return FlowRoute(RouteKind.TOOL, callback=callback)


def route_noop() -> FlowRoute:
    """End the flow; the model continues freely."""
    return FlowRoute(RouteKind.NOOP)


@runtime_checkable
class FlowState(Protocol):
    """The attributes of a state that a flow uses."""

    request_id: str
    current_question: Any
    pending_route: Any
    answers: dict[str, str]
    data: dict[str, Any]


@dataclass
class RequestState:
    """The default state of a request."""

    request_id: str
    current_question: Any = None
    pending_route: Any = None
    answers: dict[str, str] = field(default_factory=dict[str, str])
    data: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(eq=False)
class FlowQuestion(_AnyQuestion[Any], Generic[TState]):
    """A question whose fields can be changed until it starts.

    The route after an answer is the first of: the matching `on`; `then` or `otherwise`; the first
    `branch` that returns one.
    """

    name: str
    prompt: str
    strategy: Any
    completion_text: str | None = "\n"
    erase_mode: EraseMode | str | None = EraseMode.NONE
    assignments: list[Callable[[Any, str], object]] = field(default_factory=list[Any])
    transitions: dict[str, RouteTarget] = field(default_factory=dict[str, Any])
    branch_resolvers: list[Callable[[Any], RouteTarget]] = field(default_factory=list[Any])
    default_route: RouteTarget = None
    auto_answer_fn: Callable[[Any], str | None] | None = None

    def __repr__(self) -> str:
        return f"FlowQuestion({self.name!r})"

    def check_answers(self) -> None:
        """Accept routes after any answer, as `quote_mod_sdk` does."""

    def _require_function(self, function: object, method: str) -> None:
        if not callable(function):
            raise FlowError(f"{self!r}.{method} takes a function, not {function!r:.60}")

    def then(self, target: RouteTarget) -> Self:
        """Continue with a target after any answer without a matching `on`."""
        return cast(Self, super().then(target))

    def otherwise(self, target: RouteTarget) -> Self:
        """Do the same as `then`."""
        return self.then(target)

    def branch(self, resolver: Callable[[Any], RouteTarget]) -> Self:
        """Continue with the result of a function of the state, if there is no other route."""
        self._require_function(resolver, "branch")
        self.branch_resolvers.append(resolver)
        return self

    def with_auto_answer(self, function: Callable[[Any], str | None]) -> Self:
        """Skip the question if a function of the state returns its answer."""
        self._require_function(function, "with_auto_answer")
        self.auto_answer_fn = function
        return self

    def target_after(self, answer: str, state: Any) -> RouteTarget:
        """Return the target after an answer; a branch that raises is logged and skipped."""
        for known in (answer.lower(), answer.strip().lower()):
            if self.transitions.get(known) is not None:
                return self.transitions[known]
        if self.default_route is not None:
            return self.default_route
        for resolver in list(self.branch_resolvers):
            try:
                target: Any = resolver(state)
            except Exception:
                logger.warning("a branch of %r failed; it is skipped", self, exc_info=True)
                continue
            if target is not None:
                return target
        return None

    def resolve_route(self, state: Any, answer: str | None = None) -> flow.FlowRoute | None:
        """Return the route after an answer; `None` if there is none."""
        target = self.target_after(answer or "", state)
        return None if target is None else RouteBudget(state).resolve(target, self)

    def known_answer(self, state: Any) -> str | None:
        """Return the auto-answer, if there is one; `None` if it raises, or is not a string."""
        if self.auto_answer_fn is None:
            return None
        try:
            known: Any = self.auto_answer_fn(state)
        except Exception:
            logger.info("the auto-answer of %r failed; the question is asked", self, exc_info=True)
            return None
        return known.strip() or None if isinstance(known, str) else None

    def assign_known(self, state: Any, answer: str) -> None:
        """Run the assignments for an auto-answer; one that raises is logged and skipped."""
        for assign in self.assignments:
            try:
                assign(state, answer)
            except Exception:
                logger.warning("an assignment of %r failed; it is skipped", self, exc_info=True)

    def start(self, tokenizer: Any) -> OlderRun:
        """Start a self-prompt with the current fields."""
        return self.asking.start(tokenizer)

    def value_of(self, answer: str) -> str:
        """Return the answer itself: the states of `quote_mod_sdk` contain texts only."""
        return answer

    @property
    def asking(self) -> SelfPrompt:
        """A self-prompt with the current fields."""
        return SelfPrompt(
            prompt={"text": self.prompt},
            strategy=self.strategy,
            completion=self.completion_text,
            erase=self.erase_mode,
        )


@dataclass(eq=False)
class FlowDefinition(flow.FlowDefinition[Any], Generic[TState]):
    """A part of a flow: its first question, and the summary of `route_summary`."""

    name: str
    root: Any
    summary_builder: Callable[[Any], str]

    def all_questions(self) -> list[Any]:
        """Return all reachable questions, including those behind functions of any state."""
        found: dict[int, Any] = {}
        waiting: list[Any] = [self.root]
        while waiting:
            question = waiting.pop()
            if isinstance(question, FlowQuestion) and id(question) not in found:
                found[id(question)] = question
                targets = [*question.transitions.values(), question.default_route]
                waiting += [_question_of(target) for target in targets]
        return list(found.values())


def _question_of(target: Any) -> Any:
    """Return the question of a target; a function is called with an empty state."""
    try:
        found = target(RequestState("__introspect__")) if callable(target) else target
    except Exception:  # it needs a real state
        return None
    found = found.target if isinstance(found, flow.FlowRoute) else found
    return found.root if isinstance(found, FlowDefinition) else found


class _Run(FlowRun[Any]):
    """A flow in one request."""

    def __init__(self, engine: "FlowEngine[Any]", state: Any) -> None:
        super().__init__(engine.entry_question, state, lambda _: None)
        self._engine = engine
        self.is_finished = False  # the last text of the flow has been written
        self.shown: Any = None  # the question last stored in `state.current_question`

    def added(self, event: Any, actions: Any, tokenizer: Any) -> Any:
        """Follow an answer. The flow continues after it at the next `ForwardPass`."""
        del tokenizer
        if self._asked is None:
            return None
        edit = self._asked.after(event.step, event.added_tokens)
        return None if self._asked.is_complete else edit.action(actions)

    def _may_begin(self, event: Any) -> bool:
        return event.is_by_hand or super()._may_begin(event)

    def go_to(self, target: Any) -> None:
        """Continue with a target, even in the middle of a question."""
        self._asked = None
        self._pending = RouteBudget(self.state).resolve(target, self._question)
        self.is_finished = False

    def _past_known_answers(
        self, route: flow.FlowRoute, budget: RouteBudget[Any]
    ) -> flow.FlowRoute:
        """Follow a route past questions with auto-answers."""
        while route.kind is RouteKind.QUESTION:
            question: Any = self._enter(route.target)
            answer = question.known_answer(self.state)
            if answer is None:
                return route
            budget.step(question)
            self.state.answers[question.name] = answer
            question.assign_known(self.state, answer)
            target = question.target_after(answer, self.state)
            if target is None:
                return route  # an auto-answer without a route is ignored
            route = budget.resolve(target, question)
        return route

    def _after(
        self, question: Any, answer: str, value: Any, budget: RouteBudget[Any]
    ) -> flow.FlowRoute:
        del value
        if answer:
            self.state.answers[question.name] = answer
            for assign in question.assignments:
                assign(self.state, answer)
        with errors_of(question):
            return budget.resolve(question.target_after(answer, self.state), question)

    def _say(self, text: str, edit: PendingEdit) -> Any:
        tokenizer: Any = edit.tokenizer
        end = getattr(tokenizer, "eos_token_id", None)
        ids = tokenizer.encode(text, add_special_tokens=False)
        self.is_finished = True
        return edit.write([*ids, *(() if end is None else (int(end),))])

    def _call(self, route: flow.FlowRoute, edit: PendingEdit) -> Any:
        if edit.edit:
            return super()._call(route, edit)
        answer = _called(route.target, edit, self.state)
        if isinstance(answer, flow.FlowRoute | _AnyQuestion | flow.FlowDefinition):
            budget: RouteBudget[Any] = RouteBudget(self.state)
            return self._perform(budget.resolve(answer, self._question), edit, budget)
        return answer

    def _summary(self, route: flow.FlowRoute) -> str:
        for definition in self._engine.flows.values():
            if any(question is self._question for question in definition.all_questions()):
                return definition.summary(self.state)
        return route.message or "Flow complete."


def _called(function: Callable[..., Any], edit: PendingEdit, state: Any) -> Any:
    """Call a tool's function; one with a single argument gets the state."""
    try:
        inspect.signature(function).bind(edit.actions, state, edit.tokenizer)
    except TypeError:
        return function(state)
    except ValueError:  # it has no signature
        pass
    return function(edit.actions, state, edit.tokenizer)


class FlowEngine(Generic[TState]):
    """Runs a flow in any number of requests.

    Mods read the states of requests from the private `_get_state(id)` and `_states`.
    """

    def __init__(
        self,
        *,
        entry_question: Any,
        flows: Mapping[str, Any] | None = None,
        state_factory: Callable[[str], Any] | None = None,
    ) -> None:
        """Define an engine.

        Args:
            entry_question: The first question of every request.
            flows: Name -> definition, whose summary `route_summary` uses in its questions.
            state_factory: Creates the state of a request from its id.

        Raises:
            FlowError: `entry_question` is not a question.
        """
        flow.FlowEngine[Any](entry_question=entry_question)  # validates it
        self.entry_question = entry_question
        self.flows = dict(flows or {})
        self._state_factory = state_factory or RequestState
        self._positions = Positions()
        self._runs: PerRequest[_Run] = PerRequest(
            lambda request_id: _Run(self, self._state_factory(request_id))
        )
        self._states: MutableMapping[str, Any] = _States(self._runs)

    @property
    def _constraints(self) -> dict[str, SelfPrompt]:
        """The self-prompts of the current questions of all requests, by name."""
        runs = [self._runs.get(request_id) for request_id in self._runs.request_ids()]
        asked = [run.question for run in runs if run and run.question]
        return {question.name: cast(Any, question).asking for question in asked}

    def handle_event(self, event: Any, actions: ActionBuilder, tokenizer: Any) -> Any:
        """Handle any event of a request; return an action.

        Raises:
            ConstraintError: A question's strategy cannot be enforced.
            FlowError: A route has no valid target, or does not terminate.
        """
        request_id = getattr(event, "request_id", None)
        if not isinstance(request_id, str) or tokenizer is None:
            return actions.noop()
        run = self._runs[request_id]
        if not self._follow_state(run):
            return actions.noop()
        action = self._handle(run, event, actions, tokenizer)
        self._positions.note(event, action)
        self._show_question(run)
        return actions.noop() if action is None else action

    def _handle(self, run: _Run, event: ModEvent, actions: Any, tokenizer: Any) -> Any:
        if isinstance(event, ForwardPass | Added):
            placed: Any = _Placed(event, self._positions)
            handle = run.forward_pass if isinstance(event, ForwardPass) else run.added
            return handle(placed, actions, tokenizer)
        if isinstance(event, Prefilled) and hasattr(run.state, "pending_route"):
            run.state.pending_route = None
        return None

    def _follow_state(self, run: _Run) -> bool:
        """Apply a mod's changes of `pending_route` or `current_question`; False ends the flow.

        `run.shown` is the question that the flow itself stored, so a difference is a mod's change.
        """
        state = run.state
        target = getattr(state, "pending_route", None)
        if target is not None:
            state.pending_route = None
        else:
            target = getattr(state, "current_question", run.shown)
            if target is None and run.shown is not None:
                return False
            target = None if target is run.shown else target
        if target is not None:
            run.go_to(target)
        return True

    def _show_question(self, run: _Run) -> None:
        """Store the current question in the state."""
        if hasattr(run.state, "current_question"):
            question = run.question or self.entry_question
            run.state.current_question = run.shown = None if run.is_finished else question

    def _get_state(self, request_id: str) -> Any:
        return self._runs[request_id].state

    def state(self, request_id: str) -> Any:
        """Return the state of a request; create it for an unknown one."""
        return self._get_state(request_id)


class _Placed:
    """An event at its position in the completion."""

    def __init__(self, event: Any, positions: Positions) -> None:
        self.is_by_hand = is_by_hand(event)
        self.step = positions.of(event)
        self.added_tokens: list[int] = getattr(event, "added_tokens", [])


class _States(MutableMapping[str, Any]):
    """The states of an engine, as the dictionary of `quote_mod_sdk`."""

    def __init__(self, runs: PerRequest[_Run]) -> None:
        self._runs = runs

    def __getitem__(self, request_id: str) -> Any:
        run = self._runs.get(request_id)
        if run is None:
            raise KeyError(request_id)
        return run.state

    def __setitem__(self, request_id: str, state: Any) -> None:
        self._runs[request_id].state = state

    def __delitem__(self, request_id: str) -> None:
        self[request_id]
        self._runs.drop(request_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs.request_ids())

    def __len__(self) -> int:
        return len(self._runs.request_ids())
