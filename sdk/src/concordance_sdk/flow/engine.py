"""Drives requests through a flow of questions."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

from concordance_shared import Action, Added, Event, Finished, FlowError, ForwardPass

from concordance_sdk.action_builder import Actions
from concordance_sdk.flow.definition import FlowDefinition
from concordance_sdk.flow.question import FlowQuestion
from concordance_sdk.flow.run import FlowRun
from concordance_sdk.flow.state import DefaultState, FlowState
from concordance_sdk.per_request import PerRequest
from concordance_sdk.tokenizer import Tokenizer

StateT = TypeVar("StateT", bound=FlowState)


class FlowEngine(Generic[StateT]):
    """Asks a flow's questions one after the other, in any number of requests.

    Return what `handle_event` answers, from a mod that hands it every event. The state of a
    request goes when the request goes.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.testing import play
        >>> sure = FlowQuestion("sure", "Sure? ", ChoicesStrat(["yes", "no"]), erase_mode="all")
        >>> engine = FlowEngine(entry_question=sure.on("yes", "Done.").on("no", "Cancelled."))
        >>> @mod
        ... def confirm(event, actions, tokenizer):
        ...     return engine.handle_event(event, actions, tokenizer)
        >>> play(confirm, script=b"______no").text
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
            flows: Definitions, by name: in their questions, `route_summary` writes their summary.
            state_factory: Makes the state of a request, given its id; a `DefaultState` if left
                out.

        Raises:
            FlowError: It begins with something else than a question.
        """
        if not isinstance(cast(object, entry_question), FlowQuestion | FlowDefinition):
            raise FlowError(
                "a FlowEngine begins with a FlowQuestion or a FlowDefinition, not with "
                f"{entry_question!r:.60}"
            )
        self._entry = entry_question
        self._flow_of: dict[int, FlowDefinition[StateT]] = {
            id(question): flow
            for flow in (flows or {}).values()
            for question in flow.all_questions()
        }
        make = state_factory or cast(Callable[[str], StateT], DefaultState)
        self._runs: PerRequest[FlowRun[StateT]] = PerRequest(
            lambda request_id: FlowRun(self._entry, make(request_id), self._find_flow)
        )

    def handle_event(self, event: Event, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Answer any event of a request.

        Raises:
            ConstraintError: A question's strategy cannot be enforced, or another mod put tokens
                there that it does not allow.
            FlowError: A route leads nowhere, or never ends.
        """
        match event:
            case ForwardPass():
                return self._runs[event.request_id].forward_pass(event, actions, tokenizer)
            case Added():
                return self._runs[event.request_id].added(event, actions, tokenizer)
            case Finished():
                self._runs.release(event.request_id)
                return None
            case _:
                return None

    def state(self, request_id: str) -> StateT:
        """The state of a request that runs; made anew for one that is not known."""
        return self._runs[request_id].state

    def current_question(self, request_id: str) -> FlowQuestion[StateT] | None:
        """The question that a request is being asked, or was asked last."""
        run = self._runs.get(request_id)
        return run.question if run else None

    def _find_flow(self, question: FlowQuestion[Any]) -> FlowDefinition[StateT] | None:
        return self._flow_of.get(id(question))
