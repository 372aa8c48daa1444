"""A flow in one request: the question that is being asked, and what comes after."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, assert_never

from concordance_shared import Action, Added, FlowError, ForwardPass

from concordance_sdk.action_builder import Actions
from concordance_sdk.exclusive import may_write
from concordance_sdk.flow.definition import FlowDefinition
from concordance_sdk.flow.pending_edit import PendingEdit
from concordance_sdk.flow.question import FlowQuestion
from concordance_sdk.flow.routes import FlowRoute, RouteBudget, RouteKind, route_question
from concordance_sdk.flow.state import FlowState
from concordance_sdk.tokenizer import Tokenizer

if TYPE_CHECKING:
    from concordance_sdk.self_prompt import SelfPromptRun

StateT = TypeVar("StateT", bound=FlowState)


class FlowRun(Generic[StateT]):
    """One walk through a flow.

    What is erased of an answered question and the prompt of the next one are one change of the
    completion, so that a walk costs a forward pass for each choice of the model and no more.
    """

    def __init__(
        self,
        entry: FlowQuestion[StateT] | FlowDefinition[StateT],
        state: StateT,
        find_flow: Callable[[FlowQuestion[StateT]], FlowDefinition[StateT] | None],
    ) -> None:
        """Stand before the first question.

        Args:
            entry: Where the flow begins.
            state: What is known of the request.
            find_flow: Says which definition a question belongs to.

        Raises:
            FlowError: The state has no place for answers.
        """
        if not isinstance(getattr(state, "answers", None), dict):
            raise FlowError(
                f"the state of a flow keeps answers in a dictionary `answers`; {state!r:.60} has "
                "none"
            )
        self.state = state
        self._find_flow = find_flow
        self._flow: FlowDefinition[StateT] | None = None  # the one that was entered last
        self._question: FlowQuestion[StateT] | None = None
        self._asked: SelfPromptRun | None = None
        self._pending: FlowRoute | None = route_question(entry)  # where to go at the next event

    @property
    def question(self) -> FlowQuestion[StateT] | None:
        """The question that is being asked."""
        return self._question

    def is_writing(self, step: int) -> bool:
        """Whether a step that comes next is the flow's: it was begun, and is not at its end."""
        if self._asked is not None:
            return self._asked.is_writing(step)
        return self._pending is not None and self._question is not None

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """What the flow wants at a position that comes next."""
        if not self.is_writing(event.step) and not may_write(self, event.request_id, event.step):
            return None
        edit = PendingEdit(event.step, actions, tokenizer)
        if self._pending:
            return self._go_on(edit)
        if self._asked is None:
            return None
        edit.edit = self._asked.before(event.step)
        if self._asked.is_complete:
            return self._answered(edit)
        return edit.edit.action(actions) if edit.edit else self._asked.masked(actions)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """What the flow wants behind tokens that were added."""
        edit = PendingEdit(event.step + len(event.added_tokens), actions, tokenizer)
        if self._asked is None:
            # Before its first question a flow waits to be asked, so that other mods may act first.
            is_waiting = self._pending is not None and self._question is not None
            return self._go_on(edit) if is_waiting else None
        edit.edit = self._asked.behind(event.step, event.added_tokens)
        if self._asked.is_complete:
            return self._answered(edit)
        return edit.edit.action(actions)

    def _go_on(self, edit: PendingEdit) -> Action | None:
        route, self._pending = self._pending, None
        assert route is not None
        return self._perform(route, edit, RouteBudget(self.state))

    def _answered(self, edit: PendingEdit) -> Action | None:
        """Take the answer of the question that was asked, and go where it leads."""
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
        """Keep an answer, do what is to be done with it, and find where it leads."""
        self.state.answers[question.name] = answer
        values: dict[str, Any] | None = getattr(self.state, "values", None)
        if values is not None:
            values[question.name] = value
        for assign in question.assignments:
            assign(self.state, answer)
        return budget.resolve(question.target_after(answer, self.state), question)

    def _perform(
        self, route: FlowRoute, edit: PendingEdit, budget: RouteBudget[StateT]
    ) -> Action | None:
        """Do what a route says, or what the first one says that is not known to lead on."""
        route = self._past_what_is_known(route, budget)
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
        self._asked = self._question.start(edit.tokenizer)
        return edit.write(self._asked.begin(edit.end).tokens)

    def _say(self, text: str, edit: PendingEdit) -> Action | None:
        end = min(edit.tokenizer.eos_token_ids)
        return edit.write([*edit.tokenizer.encode(text), end])

    def _call(self, route: FlowRoute, edit: PendingEdit) -> Action | None:
        """Let a tool's function act; at the next event, if something is to be erased first."""
        if edit.edit:
            self._pending = route
            return edit.write(())
        return route.target(edit.actions, self.state, edit.tokenizer)

    def _past_what_is_known(self, route: FlowRoute, budget: RouteBudget[StateT]) -> FlowRoute:
        """Follow a route over the questions whose answers are known, to one that is not."""
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
