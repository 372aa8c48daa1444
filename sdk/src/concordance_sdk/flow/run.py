"""A flow in one request: the question that is being asked, and what comes after."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, assert_never

from concordance_shared import Action, Added, FlowError, ForwardPass

from concordance_sdk.action_builder import Actions
from concordance_sdk.flow.definition import FlowDefinition
from concordance_sdk.flow.question import FlowQuestion
from concordance_sdk.flow.routes import FlowRoute, RouteBudget, RouteKind, route_question
from concordance_sdk.flow.state import FlowState
from concordance_sdk.self_prompt.edit import Edit
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

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """What the flow wants at a position that comes next."""
        if self._pending:
            return self._go_on(event.step, actions, tokenizer)
        if self._asked is None:
            return None
        edit = self._asked.before(event.step)
        if self._asked.is_complete:
            return self._answered(event.step, edit, actions, tokenizer)
        return edit.action(actions) if edit else self._asked.masked(actions)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """What the flow wants behind tokens that were added."""
        now = event.step + len(event.added_tokens)
        if self._asked is None:
            # At the very beginning a flow waits to be asked, so that other mods may come first.
            is_waiting = self._pending is not None and self._question is not None
            return self._go_on(now, actions, tokenizer) if is_waiting else None
        edit = self._asked.behind(event.step, event.added_tokens)
        if self._asked.is_complete:
            return self._answered(now, edit, actions, tokenizer)
        return edit.action(actions)

    def _go_on(self, now: int, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        route, self._pending = self._pending, None
        assert route is not None
        return self._perform(route, now, Edit(), actions, tokenizer)

    def _answered(
        self, now: int, edit: Edit, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Take the answer of the question that was asked, and go where it leads.

        Args:
            now: The step behind all that is there.
            edit: What is erased of the question.
            actions: Makes actions.
            tokenizer: The model's.
        """
        question, asked = self._question, self._asked
        assert question is not None
        assert asked is not None
        self._asked = None
        budget = RouteBudget(self.state)
        route = self._after(question, asked.text or "", asked.value, budget)
        return self._perform(route, now, edit, actions, tokenizer, budget)

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
        return budget.resolve(question.target_after(answer, self.state), repr(question))

    def _perform(
        self,
        route: FlowRoute,
        now: int,
        edit: Edit,
        actions: Actions,
        tokenizer: Tokenizer,
        budget: RouteBudget[StateT] | None = None,
    ) -> Action | None:
        """Go where a route leads.

        Args:
            route: The route.
            now: The step behind all that is there.
            edit: What is still to be done to that.
            actions: Makes actions.
            tokenizer: The model's.
            budget: Counts the steps that the route took to come here.
        """
        route = self._past_what_is_known(route, budget or RouteBudget(self.state))
        match route.kind:
            case RouteKind.QUESTION:
                assert self._question is not None
                self._asked = self._question.self_prompt.start(tokenizer)
                begin = self._asked.begin(now - edit.n + len(edit.tokens))
                return edit.then(begin.tokens).action(actions)
            case RouteKind.MESSAGE | RouteKind.SUMMARY:
                text = self._summary(route) if route.kind is RouteKind.SUMMARY else route.message
                end = min(tokenizer.eos_token_ids)
                return edit.then([*tokenizer.encode(text or ""), end]).action(actions)
            case RouteKind.OUTPUT:
                return actions.force_output(tokenizer.encode(route.message or ""))
            case RouteKind.TOOL:
                if edit:  # the erasing first, and the tool at the event that tells of it
                    self._pending = route
                    return edit.action(actions)
                return route.target(actions, self.state, tokenizer)
            case RouteKind.NOOP:
                return edit.action(actions)
            case _:
                assert_never(route.kind)

    def _past_what_is_known(self, route: FlowRoute, budget: RouteBudget[StateT]) -> FlowRoute:
        """Follow a route over the questions whose answers are known, to one that is not."""
        while route.kind is RouteKind.QUESTION:
            question = self._enter(route.target)
            answer = question.auto_answer(self.state) if question.auto_answer else None
            if not answer or not answer.strip():
                return route
            budget.step(repr(question))
            route = self._after(question, answer.strip(), answer.strip(), budget)
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
            return self._flow.summary_builder(self.state)
        return "\n".join(f"{name}: {answer}" for name, answer in self.state.answers.items())
