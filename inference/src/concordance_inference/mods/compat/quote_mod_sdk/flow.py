"""Flows as older mods define them and look into them.

What differs from `concordance_sdk.flow`: what a flow does behind an answer it does at the next
`ForwardPass`, since older mods drop what it answers to `Added`; a request's state is found under
older, private names, says which question is asked, and may say which is asked next; what a
question's `then` says goes before its branches; and fields can be read and set.
"""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, Self, TypeVar, cast, runtime_checkable

from concordance_sdk import flow
from concordance_sdk.flow import RouteKind
from concordance_sdk.flow.pending_edit import PendingEdit
from concordance_sdk.flow.question import FlowQuestion as _AnyQuestion
from concordance_sdk.flow.routes import RouteBudget, leading_on
from concordance_sdk.flow.run import FlowRun
from concordance_sdk.per_request import PerRequest
from concordance_sdk.self_prompt import EraseMode
from msgspec.structs import force_setattr

from concordance_inference.mods.compat.quote_mod_sdk.actions import ActionBuilder
from concordance_inference.mods.compat.quote_mod_sdk.events import (
    Added,
    ForwardPass,
    ModEvent,
    Prefilled,
)
from concordance_inference.mods.compat.quote_mod_sdk.positions import Positions
from concordance_inference.mods.compat.quote_mod_sdk.self_prompt import SelfPrompt
from concordance_inference.mods.compat.quote_mod_sdk.self_prompt_run import OlderRun

logger = logging.getLogger(__name__)

TState = TypeVar("TState")

RouteTarget = Any
"""What names a route: a route, a question, a definition, a message, nothing, or a function of the
state that gives one of them."""
RouteSpec = Any


class FlowRoute(flow.FlowRoute, frozen=False):  # type: ignore[misc]  # msgspec allows it
    """Where a flow goes; a tool's function may be given as `callback`, and a message be none."""

    callback: Callable[..., Any] | None = None

    def __class_getitem__(cls, _: Any) -> type[Self]:
        """Itself, whatever a state is said to be."""
        return cls

    def __post_init__(self) -> None:
        """Find the function under either name, take no message for an empty one, and check."""
        if self.kind is RouteKind.MESSAGE:
            force_setattr(self, "message", self.message or "")
        if self.kind is RouteKind.TOOL:
            found = self.callback or self.target
            force_setattr(self, "target", found)
            force_setattr(self, "callback", found)
        super().__post_init__()


def route_question(question: Any) -> FlowRoute:
    """Ask this question next, or the first one of a definition."""
    return FlowRoute(RouteKind.QUESTION, target=question)


def route_message(text: str | None) -> FlowRoute:
    """Write a text, if any, and end the completion."""
    return FlowRoute(RouteKind.MESSAGE, message=text)


def route_output(text: str) -> FlowRoute:
    """Make a text the whole completion."""
    return FlowRoute(RouteKind.OUTPUT, message=text)


def route_summary(message: str | None = None) -> FlowRoute:
    """Write what the flow's definition makes of the answers, or else a text, and end."""
    return FlowRoute(RouteKind.SUMMARY, message=message)


def route_tool(callback: Callable[..., Any]) -> FlowRoute:
    """Let a function of `(actions, state, tokenizer)` make the action."""
    return FlowRoute(RouteKind.TOOL, callback=callback)


def route_noop() -> FlowRoute:
    """End the flow, and let the model go on by itself."""
    return FlowRoute(RouteKind.NOOP)


@runtime_checkable
class FlowState(Protocol):
    """What a flow needs of a state."""

    request_id: str
    current_question: Any
    pending_route: Any
    answers: dict[str, str]
    data: dict[str, Any]


@dataclass
class RequestState:
    """The state of a request whose flow names none of its own."""

    request_id: str
    current_question: Any = None
    pending_route: Any = None
    answers: dict[str, str] = field(default_factory=dict[str, str])
    data: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(eq=False)
class FlowQuestion(_AnyQuestion[Any], Generic[TState]):
    """A question that asks what its fields say when it is asked.

    An answer leads where `on` says; else where `then` or `otherwise` says; else where the first
    function given to `branch` says that says anything.
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

    def then(self, target: RouteTarget) -> Self:
        """Go there after any answer that `on` says nothing about."""
        return cast(Self, super().then(target))

    def branch(self, resolver: Callable[[Any], RouteTarget]) -> Self:
        """Go where a function of the state says, if nothing else says where to go."""
        self._require_function(resolver, "branch", "the state")
        self.branch_resolvers.append(resolver)
        return self

    def with_auto_answer(self, function: Callable[[Any], str | None]) -> Self:
        """Take the answer that a function of the state knows; ask if it is none."""
        self._require_function(function, "with_auto_answer", "the state")
        self.auto_answer_fn = function
        return self

    def target_after(self, answer: str, state: Any) -> RouteTarget:
        """Where an answer leads; a branch that fails is logged and passed over."""
        for known in (answer.lower(), answer.strip().lower()):
            if self.transitions.get(known) is not None:
                return self.transitions[known]
        if self.default_route is not None:
            return self.default_route
        for resolver in list(self.branch_resolvers):
            try:
                target: Any = resolver(state)
            except Exception:
                logger.warning("a branch of %r failed; it is passed over", self, exc_info=True)
                continue
            if target is not None:
                return target
        return None

    def resolve_route(self, state: Any, answer: str | None = None) -> flow.FlowRoute | None:
        """The route that an answer leads to; `None` if nothing says where to go."""
        target = self.target_after(answer or "", state)
        return None if target is None else RouteBudget(state).resolve(target, self)

    def known_answer(self, state: Any) -> str | None:
        """The answer, if it need not be asked for; one that cannot be found or read is asked."""
        if self.auto_answer_fn is None:
            return None
        try:
            known: Any = self.auto_answer_fn(state)
        except Exception:
            logger.info("the auto-answer of %r failed; it is asked", self, exc_info=True)
            return None
        return known.strip() or None if isinstance(known, str) else None

    def assign_known(self, state: Any, answer: str) -> None:
        """Do with a known answer what is to be done; what fails is logged and passed over."""
        for assign in self.assignments:
            try:
                assign(state, answer)
            except Exception:
                logger.warning("an assignment of %r failed", self, exc_info=True)

    def start(self, tokenizer: Any) -> OlderRun:
        """Begin to ask what the fields say now."""
        return self.asking.start(tokenizer)

    def value_of(self, answer: str) -> str:
        """The answer: older states keep nothing else."""
        return answer

    @property
    def asking(self) -> SelfPrompt:
        """The self-prompt that asks what the fields say now."""
        return SelfPrompt(
            prompt={"text": self.prompt},
            strategy=self.strategy,
            completion=self.completion_text,
            erase=self.erase_mode,
        )


@dataclass(eq=False)
class FlowDefinition(flow.FlowDefinition[Any], Generic[TState]):
    """A part of a flow: where it begins, and the summary that `route_summary` writes in it."""

    name: str
    root: Any
    summary_builder: Callable[[Any], str]

    def all_questions(self) -> list[Any]:
        """Its questions, also those that functions lead to whatever the state."""
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
    """The question that a target leads to, as far as can be told without a request."""
    try:
        found = target(RequestState("__introspect__")) if callable(target) else target
    except Exception:  # it wanted to know more than there is
        return None
    found = found.target if isinstance(found, flow.FlowRoute) else found
    return found.root if isinstance(found, FlowDefinition) else found


class _Run(FlowRun[Any]):
    """A flow in one request."""

    def __init__(self, engine: "FlowEngine[Any]", state: Any) -> None:
        super().__init__(engine.entry_question, state, lambda _: None)
        self._engine = engine
        self.has_said_its_last = False
        self.told: Any = None  # the question that the state was said to be asked

    def added(self, event: Any, actions: Any, tokenizer: Any) -> Any:
        """Follow an answer. What comes behind it is done at the next `ForwardPass`."""
        del tokenizer
        if self._asked is None:
            return None
        edit = self._asked.behind(event.step, event.added_tokens)
        return None if self._asked.is_complete else edit.action(actions)

    def go_to(self, target: Any) -> None:
        """Go where the state was told to go, whatever is being asked."""
        self._asked = None
        self._pending = RouteBudget(self.state).resolve(target, self._question)
        self.has_said_its_last = False

    def _past_what_is_known(
        self, route: flow.FlowRoute, budget: RouteBudget[Any]
    ) -> flow.FlowRoute:
        """Follow a route over questions with known answers that lead on."""
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
                return route  # it is known, and leads nowhere: it is asked
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
        with leading_on(question):
            return budget.resolve(question.target_after(answer, self.state), question)

    def _say(self, text: str, edit: PendingEdit) -> Any:
        tokenizer: Any = edit.tokenizer
        end = getattr(tokenizer, "eos_token_id", None)
        ids = tokenizer.encode(text, add_special_tokens=False)
        self.has_said_its_last = True
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
    """What a tool's function answers; one that takes one argument is given the state."""
    try:
        inspect.signature(function).bind(edit.actions, state, edit.tokenizer)
    except TypeError:
        return function(state)
    except ValueError:  # it has no signature
        pass
    return function(edit.actions, state, edit.tokenizer)


class FlowEngine(Generic[TState]):
    """Asks a flow's questions one after the other, in any number of requests.

    The states of requests are found as `_get_state(id)` and in `_states`.
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
            entry_question: Where every request begins.
            flows: Definitions, by name: in their questions, `route_summary` writes their summary.
            state_factory: Makes the state of a request, given its id.

        Raises:
            FlowError: It begins with something else than a question.
        """
        flow.FlowEngine[Any](entry_question=entry_question)  # refuses what it would refuse
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
        """The self-prompts of the questions that requests are being asked."""
        runs = [self._runs.get(request_id) for request_id in self._runs.request_ids()]
        asked = [run.question for run in runs if run and run.question]
        return {question.name: cast(Any, question).asking for question in asked}

    def handle_event(self, event: Any, actions: ActionBuilder, tokenizer: Any) -> Any:
        """Answer any event of a request.

        Raises:
            ConstraintError: A question's strategy cannot be enforced.
            FlowError: A route leads nowhere, or never ends.
        """
        request_id = getattr(event, "request_id", None)
        if not isinstance(request_id, str) or tokenizer is None:
            return actions.noop()
        run = self._runs[request_id]
        if not self._goes_on(run):
            return actions.noop()
        action = self._handle(run, event, actions, tokenizer)
        self._positions.note(event, action)
        self._tell_state(run)
        return actions.noop() if action is None else action

    def _handle(self, run: _Run, event: ModEvent, actions: Any, tokenizer: Any) -> Any:
        if isinstance(event, ForwardPass | Added):
            placed: Any = _Placed(event, self._positions)
            handle = run.forward_pass if isinstance(event, ForwardPass) else run.added
            return handle(placed, actions, tokenizer)
        if isinstance(event, Prefilled) and hasattr(run.state, "pending_route"):
            run.state.pending_route = None
        return None

    def _goes_on(self, run: _Run) -> bool:
        """Go where a mod has told the state to go; whether there is anything to go on with."""
        state = run.state
        wanted = getattr(state, "pending_route", None)
        if wanted is not None:
            state.pending_route = None
        else:
            wanted = getattr(state, "current_question", run.told)
            if wanted is None and run.told is not None:
                return False  # a mod has put an end to it
            wanted = None if wanted is run.told else wanted
        if wanted is not None:
            run.go_to(wanted)
        return True

    def _tell_state(self, run: _Run) -> None:
        """Say in the state which question is asked."""
        if hasattr(run.state, "current_question"):
            asked = run.question or self.entry_question
            run.state.current_question = run.told = None if run.has_said_its_last else asked

    def _get_state(self, request_id: str) -> Any:
        return self._runs[request_id].state

    def state(self, request_id: str) -> Any:
        """The state of a request; made anew for one that is not known."""
        return self._get_state(request_id)


class _Placed:
    """An event at its position in the completion."""

    def __init__(self, event: Any, positions: Positions) -> None:
        self.request_id = positions.turns_of(event)
        self.step = positions.of(event)
        self.added_tokens: list[int] = getattr(event, "added_tokens", [])


class _States(MutableMapping[str, Any]):
    """The states of an engine as the dictionary that they used to be in."""

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
