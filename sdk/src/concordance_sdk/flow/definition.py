"""Definitions: named parts of a flow, with a summary of their answers."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from concordance_shared import FlowError

from concordance_sdk.flow.question import FlowQuestion
from concordance_sdk.flow.routes import FlowNode, FlowRoute, is_text, require_function

StateT = TypeVar("StateT")


class FlowDefinition(FlowNode, Generic[StateT]):
    """A part of a flow: its first question, and the summary that `route_summary` writes.

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
            name: Its name, for messages.
            root: Its first question.
            summary_builder: Makes the summary of a state.

        Raises:
            FlowError: `root` is not a question, or `summary_builder` is not a function.
        """
        if not isinstance(cast(object, root), FlowQuestion):
            raise FlowError(
                f"FlowDefinition {name!r} begins with a FlowQuestion, not with {root!r:.60}"
            )
        require_function(
            summary_builder, f"the summary_builder of FlowDefinition {name!r}", ("state",)
        )
        self.name = name
        self.root = root
        self.summary_builder = summary_builder

    def summary(self, state: StateT) -> str:
        """Make the summary of a state.

        Raises:
            FlowError: The `summary_builder` returned something other than a text.
        """
        made = self.summary_builder(state)
        if not is_text(made):
            raise FlowError(
                f"the summary_builder of FlowDefinition {self.name!r} returns a text, not "
                f"{made!r:.60}"
            )
        return made

    def all_questions(self) -> list[FlowQuestion[StateT]]:
        """Its questions, breadth first, without those that only functions lead to."""
        return questions_from(self.root)


def questions_from(node: FlowNode) -> list[FlowQuestion[Any]]:
    """The questions reachable from a node, breadth first, without following functions."""
    found: dict[int, FlowQuestion[Any]] = {}
    waiting: list[object] = [node]
    while waiting:
        question = _question(waiting.pop(0))
        if question is not None and id(question) not in found:
            found[id(question)] = question
            waiting += [*question.transitions.values(), question.default_route]
    return list(found.values())


def _question(target: object) -> FlowQuestion[Any] | None:
    """The question that a target leads to; `None` for a function or another route."""
    if isinstance(target, FlowRoute):
        target = target.target
    if isinstance(target, FlowDefinition):
        target = target.root
    return target if isinstance(target, FlowQuestion) else None
