"""A flow in one request: its state, the question that is being asked, and the next edit."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, assert_never

from concordance_shared import Action, Added, FlowError, ForwardPass, Returned
from msgspec import Struct

from concordance_sdk.action_builder import Actions, end_token_id
from concordance_sdk.flow.definition import FlowDefinition
from concordance_sdk.flow.question import FlowQuestion
from concordance_sdk.flow.routes import FlowRoute, RouteBudget, RouteKind, route_question
from concordance_sdk.request_context import may_write
from concordance_sdk.self_prompt.edit import Edit
from concordance_sdk.tokenizer import Tokenizer

if TYPE_CHECKING:
    from concordance_sdk.self_prompt import SelfPromptRun


class FlowState(Protocol):
    """The state of a flow in one request; a state of the author's own has at least these fields.

    Attributes:
        request_id: The request.
        answers: Name of a question -> its answer.

    Examples:
        >>> from dataclasses import dataclass, field
        >>> @dataclass
        ... class Booking:
        ...     request_id: str
        ...     answers: dict[str, str] = field(default_factory=dict)
        ...     seats: int = 0
        >>> state: FlowState = Booking("r1")
    """

    request_id: str
    answers: dict[str, str]


class DefaultState(Struct):
    """The state of a flow without a `state_factory`.

    Attributes:
        request_id: The request.
        answers: Name of a question -> its answer.
        values: Name of a question -> the value of its answer, such as parsed JSON.
        data: Free for the author's use.

    Examples:
        >>> state = DefaultState("r1")
        >>> state.data["seats"] = 2
        >>> state.answers
        {}
    """

    request_id: str
    answers: dict[str, str] = {}
    values: dict[str, Any] = {}
    data: dict[str, Any] = {}


StateT = TypeVar("StateT", bound=FlowState)


class PendingEdit:
    """The edit that a flow makes at one event, to which every step of a route may add.

    Attributes:
        now: The completion's length before the edit.
        actions: The event's action builder.
        tokenizer: The model's tokenizer.
        edit: The edit so far.
    """

    def __init__(self, now: int, actions: Actions, tokenizer: Tokenizer) -> None:
        """Start with an empty edit."""
        self.now = now
        self.actions = actions
        self.tokenizer = tokenizer
        self.edit = Edit()

    @property
    def end(self) -> int:
        """The completion's length after the edit."""
        return self.now - self.edit.n + len(self.edit.tokens)

    def write(self, token_ids: Sequence[int]) -> Action | None:
        """The action that makes the edit and appends tokens."""
        return self.edit.then(token_ids).action(self.actions)


class FlowRun(Generic[StateT]):
    """One walk through a flow.

    Erasing an answered question and forcing the prompt of the next one are one edit of the
    completion, so a walk costs one forward pass for each choice of the model and no more.
    """

    def __init__(
        self,
        entry: FlowQuestion[StateT] | FlowDefinition[StateT],
        state: StateT,
        find_flow: Callable[[FlowQuestion[StateT]], FlowDefinition[StateT] | None],
    ) -> None:
        """Start before the first question.

        Args:
            entry: Where the flow begins.
            state: The state of the request.
            find_flow: Returns the definition that a question belongs to.

        Raises:
            FlowError: The state has no dictionary `answers`.
        """
        if not isinstance(getattr(state, "answers", None), dict):
            raise FlowError(
                f"the state of a flow keeps answers in a dictionary `answers`; {state!r:.60} has "
                "none"
            )
        self.state = state
        self._find_flow = find_flow
        self._flow: FlowDefinition[StateT] | None = None  # the definition entered last
        self._question: FlowQuestion[StateT] | None = None
        self._asked: SelfPromptRun | None = None
        self._pending: FlowRoute | None = route_question(entry)  # to follow at the next event

    @property
    def question(self) -> FlowQuestion[StateT] | None:
        """The question that is being asked."""
        return self._question

    def is_writing(self, step: int) -> bool:
        """True if the flow has begun and has not ended at `step`, the next to be decided."""
        if self._asked is not None:
            return self._asked.is_writing(step)
        return self._pending is not None and self._question is not None

    def forward_pass(self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer) -> Returned:
        """Ask the next question, or mask the logits of the answer."""
        if not self.is_writing(event.step) and not self._may_begin(event):
            return None
        edit = PendingEdit(event.step, actions, tokenizer)
        if self._pending:
            return self._follow_pending(edit)
        if self._asked is None:
            return None
        edit.edit = self._asked.before(event.step)
        if self._asked.is_complete:
            return self._answered(edit)
        return edit.edit.action(actions) if edit.edit else self._asked.masked(actions)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Returned:
        """Follow the answer, and ask the next question once it has ended."""
        edit = PendingEdit(event.step + len(event.added_tokens), actions, tokenizer)
        if self._asked is None:
            # The first question waits for a ForwardPass, so that other mods may act first.
            has_begun = self._pending is not None and self._question is not None
            return self._follow_pending(edit) if has_begun else None
        edit.edit = self._asked.after(event.step, event.added_tokens)
        if self._asked.is_complete:
            return self._answered(edit)
        return edit.edit.action(actions)

    def _may_begin(self, event: ForwardPass) -> bool:
        return may_write(event.step, by=self)

    def _follow_pending(self, edit: PendingEdit) -> Returned:
        route, self._pending = self._pending, None
        assert route is not None
        return self._perform(route, edit, RouteBudget(self.state))

    def _answered(self, edit: PendingEdit) -> Returned:
        """Keep the answer of the question being asked, and follow its route."""
        question, asked = self._question, self._asked
        assert question is not None
        assert asked is not None
        self._asked = None
        budget = RouteBudget(self.state)
        route = self._after(question, asked.text or "", asked.value, budget)
        return self._perform(route, edit, budget)

    def _after(
        self,
        question: FlowQuestion[StateT],
        answer: str,
        value: Any,
        budget: RouteBudget[StateT],
    ) -> FlowRoute:
        """Keep an answer, run the question's assignments, and return the route after it."""
        self.state.answers[question.name] = answer
        values: dict[str, Any] | None = getattr(self.state, "values", None)
        if values is not None:
            values[question.name] = value
        for assign in question.assignments:
            assign(self.state, answer)
        return budget.resolve(question.target_after(answer, self.state), question)

    def _perform(
        self, route: FlowRoute, edit: PendingEdit, budget: RouteBudget[StateT]
    ) -> Returned:
        """Follow a route past the questions whose answers are known, and act on its end."""
        route = self._past_known_answers(route, budget)
        match route.kind:
            case RouteKind.QUESTION:
                return self._ask(edit)
            case RouteKind.MESSAGE:
                return self._say(route.message or "", edit)
            case RouteKind.SUMMARY:
                return self._say(self._summary(route), edit)
            case RouteKind.OUTPUT:
                return edit.actions.force_output(edit.tokenizer.encode(route.message or ""))
            case RouteKind.TOOL:
                return self._call(route, edit)
            case RouteKind.NOOP:
                return edit.write(())
            case _:
                assert_never(route.kind)

    def _ask(self, edit: PendingEdit) -> Action | None:
        assert self._question is not None
        self._question.check_answers()
        self._asked = self._question.start(edit.tokenizer)
        return edit.write(self._asked.begin(edit.end).tokens)

    def _say(self, text: str, edit: PendingEdit) -> Action | None:
        return edit.write([*edit.tokenizer.encode(text), end_token_id(edit.tokenizer)])

    def _call(self, route: FlowRoute, edit: PendingEdit) -> Returned:
        """Call a tool's function; at the next event, if something has to be erased first."""
        if edit.edit:
            self._pending = route
            return edit.write(())
        before: Action | None = getattr(edit.actions, "made", None)
        action: Action | None = route.target(edit.actions, self.state, edit.tokenizer)
        made: Action | None = getattr(edit.actions, "made", None)
        if action is None and made is not before:
            raise FlowError(
                f"the function of a route_tool after {self._question!r} made "
                f"{type(made).__name__} and returned None; return the action"
            )
        return action

    def _past_known_answers(self, route: FlowRoute, budget: RouteBudget[StateT]) -> FlowRoute:
        """The route after all questions whose answers are known."""
        while route.kind is RouteKind.QUESTION:
            question = self._enter(route.target)
            answer = question.known_answer(self.state)
            if answer is None:
                return route
            budget.step(question)
            route = self._after(question, answer, question.value_of(answer), budget)
        return route

    def _enter(self, target: FlowQuestion[StateT] | FlowDefinition[StateT]) -> FlowQuestion[StateT]:
        if isinstance(target, FlowDefinition):
            self._flow, self._question = target, target.root
        else:
            self._flow = self._find_flow(target) or self._flow
            self._question = target
        return self._question

    def _summary(self, route: FlowRoute) -> str:
        if route.message is not None:
            return route.message
        if self._flow is not None:
            return self._flow.summary(self.state)
        return "\n".join(f"{name}: {answer}" for name, answer in self.state.answers.items())
