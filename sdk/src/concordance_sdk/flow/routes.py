"""Where a flow goes after an answer."""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from concordance_shared import Action, FlowError
from msgspec import Struct

from concordance_sdk.action_builder import Actions
from concordance_sdk.tokenizer import Tokenizer

if TYPE_CHECKING:
    from concordance_sdk.flow.definition import FlowDefinition
    from concordance_sdk.flow.question import FlowQuestion

StateT = TypeVar("StateT")

#: How often a route may come to one question, or follow functions behind it, before anything is
#: written. With as many as this the state no longer leads on to an end.
MAX_STEPS_AT_ONE = 1000
#: How many questions a route may pass whose answers are known: functions may make ever new ones.
MAX_QUESTIONS_PASSED = 10_000

ToolCallback = Callable[[Actions, Any, Tokenizer], Action | None]


class RouteKind(Enum):
    """What a route leads to.

    Attributes:
        QUESTION: The next question.
        MESSAGE: A text, with which the completion ends.
        SUMMARY: A text made of the answers, with which the completion ends.
        OUTPUT: A text that becomes the whole completion.
        TOOL: An action that a function makes: a tool call, say.
        NOOP: The end of the flow; the model goes on by itself.

    Examples:
        >>> route_message("Done.").kind is RouteKind.MESSAGE
        True
    """

    QUESTION = auto()
    MESSAGE = auto()
    SUMMARY = auto()
    OUTPUT = auto()
    TOOL = auto()
    NOOP = auto()


def is_text(value: object) -> bool:
    """Whether an author gave a text."""
    return isinstance(value, str)


def _is_question(value: object) -> bool:
    from concordance_sdk.flow.definition import FlowDefinition  # noqa: PLC0415  # they name routes
    from concordance_sdk.flow.question import FlowQuestion  # noqa: PLC0415

    return isinstance(value, FlowQuestion | FlowDefinition)


#: By kind: the field that says where a route leads, what may stand there, and that in words.
_TAKES: dict[RouteKind, tuple[str, Callable[[object], bool], str]] = {
    RouteKind.QUESTION: ("target", _is_question, "a FlowQuestion or a FlowDefinition"),
    RouteKind.MESSAGE: ("message", is_text, "a text"),
    RouteKind.SUMMARY: ("message", lambda x: x is None or is_text(x), "a text or nothing"),
    RouteKind.OUTPUT: ("message", is_text, "a text"),
    RouteKind.TOOL: ("target", callable, "a function of (actions, state, tokenizer)"),
}


class FlowRoute(Struct, frozen=True):
    """Where a flow goes. Made by the functions `route_question` to `route_noop`.

    Raises:
        FlowError: Its kind cannot lead to what it is given.

    Examples:
        >>> route_output("No.")
        FlowRoute(kind=<RouteKind.OUTPUT: 4>, target=None, message='No.')
    """

    kind: RouteKind
    target: Any = None  # a question, a definition, or a tool's function
    message: str | None = None

    def __post_init__(self) -> None:
        """Check what it leads to."""
        if not isinstance(cast(object, self.kind), RouteKind):
            kinds = ", ".join(kind.name for kind in RouteKind)
            raise FlowError(f"a FlowRoute has a RouteKind ({kinds}), not {self.kind!r:.60}")
        if self.kind in _TAKES:
            field, is_right, what = _TAKES[self.kind]
            if not is_right(given := getattr(self, field)):
                name = self.kind.name.lower()
                raise FlowError(f"route_{name} takes {what}, not {given!r:.60}")


RouteTarget = Any
"""What names a route: a route, a question, a definition, a message, nothing, or a function of the
state that gives one of them."""


def route_question(question: "FlowQuestion[Any] | FlowDefinition[Any]") -> FlowRoute:
    """Ask this question next, or the first one of a definition.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.flow import FlowQuestion
        >>> route_question(FlowQuestion("sure", "Sure? ", ChoicesStrat(["yes", "no"]))).kind.name
        'QUESTION'
    """
    return FlowRoute(RouteKind.QUESTION, target=question)


def route_message(text: str) -> FlowRoute:
    """Write a text, and end the completion with it.

    Examples:
        >>> route_message("Goodbye.").message
        'Goodbye.'
    """
    return FlowRoute(RouteKind.MESSAGE, message=text)


def route_summary(message: str | None = None) -> FlowRoute:
    """Write a summary, and end the completion with it.

    Args:
        message: The summary; what the flow's own definition makes of the answers if left out, and
            a line for each answer where there is no definition.

    Examples:
        >>> route_summary().kind.name
        'SUMMARY'
    """
    return FlowRoute(RouteKind.SUMMARY, message=message)


def route_output(text: str) -> FlowRoute:
    """Make a text the whole completion, whatever stands there.

    Examples:
        >>> route_output("42").message
        '42'
    """
    return FlowRoute(RouteKind.OUTPUT, message=text)


def route_tool(callback: ToolCallback) -> FlowRoute:
    """Let a function make the action, a call of a tool say; the flow ends.

    Args:
        callback: Is given `(actions, state, tokenizer)`.

    Examples:
        >>> look_up = route_tool(lambda actions, state, tokenizer: actions.tool_calls(
        ...     {"name": "look_up", "arguments": {"city": state.answers["city"]}}
        ... ))
        >>> look_up.kind.name
        'TOOL'
    """
    return FlowRoute(RouteKind.TOOL, target=callback)


def route_noop() -> FlowRoute:
    """End the flow, and let the model go on by itself.

    Examples:
        >>> route_noop()
        FlowRoute(kind=<RouteKind.NOOP: 6>, target=None, message=None)
    """
    return FlowRoute(RouteKind.NOOP)


class RouteBudget(Generic[StateT]):
    """Follows a route until it comes to something that is written, or is seen never to.

    A route may pass any number of questions whose answers are known. One that keeps coming to the
    same place goes round.
    """

    def __init__(self, state: StateT) -> None:
        """Begin to follow."""
        self._state = state
        self._steps: Counter[object] = Counter()

    def step(self, question: object) -> None:
        """Count a step at a question.

        Raises:
            FlowError: There were too many.
        """
        self._steps[question] += 1
        is_endless = self._steps[question] > MAX_STEPS_AT_ONE
        if is_endless or len(self._steps) > MAX_QUESTIONS_PASSED:
            raise FlowError(
                f"the route from {question!r} never comes to anything that is written: after "
                f"{self._steps.total()} steps it still goes on; end it with a message, an output, "
                "a tool, or a question that the model answers"
            )

    def resolve(self, target: RouteTarget, question: object) -> FlowRoute:
        """The route that a target of a question names.

        Raises:
            FlowError: It names none, or its functions never come to one.
        """
        while callable(target):
            self.step(question)
            with leading_on(question):
                target = target(self._state)
        return _route(target, repr(question))


@contextmanager
def leading_on(question: object) -> Generator[None]:
    """Name the question from which an author's function finds no route.

    Raises:
        FlowError: It raised one.
    """
    try:
        yield
    except FlowError as exc:
        raise FlowError(f"{question!r} leads nowhere: {exc.message}") from exc


def check_target(target: RouteTarget, where: str) -> None:
    """Refuse what no route can be made of, as far as can be told without a state.

    Raises:
        FlowError: It names no route.
    """
    if not callable(target):
        _route(target, where)


def _route(target: object, where: str) -> FlowRoute:
    """The route that a target names which is no function.

    Raises:
        FlowError: It names none.
    """
    match target:
        case FlowRoute():
            return target
        case _ if _is_question(target):
            return route_question(cast(Any, target))
        case str():
            return route_message(target)
        case None:
            return route_noop()
        case _:
            raise FlowError(
                f"{where} leads to {target!r:.60}; a route is a question, a text, a function of "
                "the state, or made by route_question, route_message, route_summary, route_output, "
                "route_tool or route_noop"
            )
