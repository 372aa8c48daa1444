"""Drives requests through the questions of a flow."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

from concordance_shared import Added, Event, Finished, FlowError, ForwardPass, Returned

from concordance_sdk.action_builder import Actions
from concordance_sdk.flow.definition import FlowDefinition, questions_from
from concordance_sdk.flow.question import FlowQuestion
from concordance_sdk.flow.routes import require_function
from concordance_sdk.flow.run import DefaultState, FlowRun, FlowState
from concordance_sdk.follower import Follower
from concordance_sdk.per_request import PerRequest
from concordance_sdk.tokenizer import Tokenizer

StateT = TypeVar("StateT", bound=FlowState)


class FlowEngine(Follower, Generic[StateT]):
    """Asks a flow's questions one after the other, in any number of requests.

    List it in the `parts` of a class mod; or, in a function mod, return `handle_event(...)` for
    every event. The state of a request is freed with the request.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.testing import play
        >>> sure = FlowQuestion("sure", "Sure? ", ChoicesStrat(["yes", "no"]), erase="all")
        >>> engine = FlowEngine(entry_question=sure.on("yes", "Done.").on("no", "Cancelled."))
        >>> @mod
        ... class Confirm:
        ...     def parts(self):
        ...         return [engine]
        >>> play(Confirm, script=b"______no").text
        'Cancelled.'
    """

    def __init__(
        self,
        *,
        entry_question: FlowQuestion[StateT] | FlowDefinition[StateT],
        flows: Mapping[str, FlowDefinition[StateT]] | None = None,
        state_factory: Callable[[str], StateT] | None = None,
    ) -> None:
        """Define an engine.

        Args:
            entry_question: Where every request begins.
            flows: Name -> definition, whose summary `route_summary` writes in its questions.
            state_factory: Makes the state of a request from its id; by default a `DefaultState`.

        Raises:
            FlowError: `entry_question` is neither a question nor a definition, `state_factory` is
                not a function of the request's id, or a question has a route after an answer that
                is none of its choices.
        """
        if not isinstance(cast(object, entry_question), FlowQuestion | FlowDefinition):
            raise FlowError(
                "a FlowEngine begins with a FlowQuestion or a FlowDefinition, not with "
                f"{entry_question!r:.60}"
            )
        if flows is not None and not isinstance(cast(object, flows), Mapping):
            raise FlowError(
                "the flows of a FlowEngine are a mapping, name -> FlowDefinition, not "
                f"{flows!r:.60}"
            )
        self._entry = entry_question
        self._flow_of: dict[int, FlowDefinition[StateT]] = {
            id(question): flow
            for flow in (flows or {}).values()
            for question in flow.all_questions()
        }
        if state_factory is not None:
            require_function(state_factory, "the state_factory of a FlowEngine", ("request_id",))
        for question in self._questions():
            question.check_answers()
        make = state_factory or cast(Callable[[str], StateT], DefaultState)
        self._runs: PerRequest[FlowRun[StateT]] = PerRequest(
            lambda request_id: FlowRun(self._entry, make(request_id), self._find_flow)
        )

    @property
    def max_backtrack(self) -> int | None:
        """Tokens that a stream holds back: all if a question erases.

        Erased questions are held back in any case. Where they are followed by an output that
        replaces the completion, the text between them must be, too; a mod whose functions lead to
        other questions that erase has to declare `max_backtrack` for that.
        """
        return None if any(q.self_prompt.erases for q in self._questions()) else 1

    def _questions(self) -> list[FlowQuestion[Any]]:
        """The questions that do not depend on functions."""
        definitions = {id(flow): flow for flow in self._flow_of.values()}
        return [q for node in (self._entry, *definitions.values()) for q in questions_from(node)]

    def forward_pass(self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer) -> Returned:
        """Ask the next question, or mask the logits of the answer.

        Raises:
            ConstraintError: A question's constraint cannot be enforced.
            FlowError: A route has no destination, or does not end.
        """
        return self._runs[event.request_id].forward_pass(event, actions, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Returned:
        """Follow the answer, and ask the next question once it has ended.

        Raises:
            ConstraintError: Another mod put tokens there that the answer does not allow.
            FlowError: A route has no destination, or does not end.
        """
        return self._runs[event.request_id].added(event, actions, tokenizer)

    def handle_event(self, event: Event, actions: Actions, tokenizer: Tokenizer) -> Returned:
        """Handle any event of a request, for function mods.

        Raises:
            ConstraintError: A question's constraint cannot be enforced, or another mod put tokens
                there that it does not allow.
            FlowError: A route has no destination, or does not end.
        """
        match event:
            case ForwardPass():
                return self.forward_pass(event, actions, tokenizer)
            case Added():
                return self.added(event, actions, tokenizer)
            case Finished():
                self._runs.release(event.request_id)
                return None
            case _:
                return None

    def state(self, request_id: str) -> StateT:
        """The state of a running request; made now if there is none."""
        return self._runs[request_id].state

    def current_question(self, request_id: str) -> FlowQuestion[StateT] | None:
        """The question in progress, or the last one; `None` before the first."""
        run = self._runs.get(request_id)
        return run.question if run else None

    def _find_flow(self, question: FlowQuestion[Any]) -> FlowDefinition[StateT] | None:
        return self._flow_of.get(id(question))
