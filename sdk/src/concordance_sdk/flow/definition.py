"""Several questions that belong together, and how their answers are summed up."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from concordance_shared import FlowError

from concordance_sdk.flow.question import FlowQuestion
from concordance_sdk.flow.routes import FlowRoute, is_text

StateT = TypeVar("StateT")


class FlowDefinition(Generic[StateT]):
    """A part of a flow: where it begins, and the summary that `route_summary` writes in it.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> last = FlowQuestion("colour", "Colour: ", ChoicesStrat(["red", "blue"]))
        >>> first = FlowQuestion("size", "Size: ", ChoicesStrat(["S", "M"])).then(last)
        >>> order = FlowDefinition("order", first, lambda state: " ".join(state.answers.values()))
        >>> order.all_questions()
        [FlowQuestion('size'), FlowQuestion('colour')]
    """

    def __init__(
        self,
        name: str,
        root: FlowQuestion[StateT],
        summary_builder: Callable[[StateT], str],
    ) -> None:
        """Define a part of a flow.

        Args:
            name: What it is called.
            root: Its first question.
            summary_builder: Makes the summary of a state.

        Raises:
            FlowError: It begins with no question, or its summary is made by no function.
        """
        if not isinstance(cast(object, root), FlowQuestion):
            raise FlowError(
                f"FlowDefinition {name!r} begins with a FlowQuestion, not with {root!r:.60}"
            )
        if not callable(summary_builder):
            raise FlowError(
                f"the summary_builder of FlowDefinition {name!r} is a function of the state, not "
                f"{summary_builder!r:.60}"
            )
        self.name = name
        self.root = root
        self.summary_builder = summary_builder

    def summary(self, state: StateT) -> str:
        """The summary of a state.

        Raises:
            FlowError: It is no text.
        """
        made = self.summary_builder(state)
        if not is_text(made):
            raise FlowError(
                f"the summary_builder of FlowDefinition {self.name!r} returns a text, not "
                f"{made!r:.60}"
            )
        return made

    def all_questions(self) -> list[FlowQuestion[StateT]]:
        """Its questions, the first one first: those that routes lead to without a function."""
        found: dict[int, FlowQuestion[StateT]] = {}
        waiting: list[FlowQuestion[Any]] = [self.root]
        while waiting:
            question = waiting.pop(0)
            if id(question) not in found:
                found[id(question)] = question
                targets = [*question.transitions.values(), question.default_route]
                waiting += [q for target in targets if (q := _question(target)) is not None]
        return list(found.values())


def _question(target: object) -> FlowQuestion[Any] | None:
    """The question that a target leads to, as far as can be told without a state."""
    if isinstance(target, FlowRoute):
        target = target.target
    if isinstance(target, FlowDefinition):
        target = target.root
    return target if isinstance(target, FlowQuestion) else None
