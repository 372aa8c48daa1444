"""Routes: where a flow goes after an answer."""

import inspect
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any, Generic, TypeAlias, TypeVar, cast

from concordance_shared import FlowError, Returned
from msgspec import Struct

from concordance_sdk.action_builder import Actions
from concordance_sdk.tokenizer import Tokenizer

StateT = TypeVar("StateT")

#: Visits of one question, or functions followed from it, before a route writes anything. More than
#: this is an endless loop.
MAX_STEPS_AT_ONE = 1000
#: Questions with known answers that a route may pass: functions could make new ones for ever.
MAX_QUESTIONS_PASSED = 10_000

ToolCallback = Callable[[Actions, Any, Tokenizer], Returned]


#: Arguments of a tool's function.
TOOL_ARGUMENTS = ("actions", "state", "tokenizer")


def require_function(value: object, where: str, arguments: Sequence[str]) -> None:
    """Reject a value that is no function, or one that cannot be called with these arguments.

    Args:
        value: The author's function.
        where: What takes it, for the message.
        arguments: The names of its arguments.

    Raises:
        FlowError: It cannot be called, or is async or a generator.
    """
    wanted = f"({', '.join(arguments)})"
    if not callable(value):
        raise FlowError(f"{where} takes a function of {wanted}, not {value!r:.60}")
    if inspect.iscoroutinefunction(value) or inspect.isgeneratorfunction(value):
        raise FlowError(f"{where} takes a plain function of {wanted}, not an async or a generator")
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):  # some functions in C
        return
    try:
        signature.bind(*arguments)
    except TypeError as exc:
        name = getattr(value, "__qualname__", repr(value)).rpartition("<locals>.")[2]
        raise FlowError(f"{where} takes a function of {wanted}; {name} takes {signature}") from exc


class FlowNode:
    """Node of a flow's graph: a question, or a definition, which stands for its first question."""


class RouteKind(Enum):
    """Where a route leads.

    Attributes:
        QUESTION: To the next question.
        MESSAGE: To a text that ends the completion.
        SUMMARY: To a text made of the answers that ends the completion.
        OUTPUT: To a text that becomes the whole completion.
        TOOL: To an action that a function returns, such as a tool call.
        NOOP: Out of the flow; the model continues freely.

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
    """True for a text. Takes any value: authors' code is not always type-checked."""
    return isinstance(value, str)


def _is_node(value: object) -> bool:
    return isinstance(value, FlowNode)


#: Kind -> the field that names the destination, a check of its value, and the check in words.
_TAKES: dict[RouteKind, tuple[str, Callable[[object], bool], str]] = {
    RouteKind.QUESTION: ("target", _is_node, "a FlowQuestion or a FlowDefinition"),
    RouteKind.MESSAGE: ("message", is_text, "a text"),
    RouteKind.SUMMARY: ("message", lambda x: x is None or is_text(x), "a text or nothing"),
    RouteKind.OUTPUT: ("message", is_text, "a text"),
    RouteKind.TOOL: ("target", callable, "a function of (actions, state, tokenizer)"),
}


class FlowRoute(Struct, frozen=True):
    """Where a flow goes. Made by the functions `route_question` to `route_noop`.

    Raises:
        FlowError: The destination does not fit the kind.

    Examples:
        >>> route_output("No.")
        FlowRoute(kind=<RouteKind.OUTPUT: 4>, target=None, message='No.')
    """

    kind: RouteKind
    target: Any = None  # a question, a definition, or a tool's function
    message: str | None = None

    def __post_init__(self) -> None:
        """Check the destination."""
        if not isinstance(cast(object, self.kind), RouteKind):
            kinds = ", ".join(kind.name for kind in RouteKind)
            raise FlowError(f"a FlowRoute has a RouteKind ({kinds}), not {self.kind!r:.60}")
        if self.kind in _TAKES:
            field, is_right, what = _TAKES[self.kind]
            if not is_right(given := getattr(self, field)):
                name = self.kind.name.lower()
                raise FlowError(f"route_{name} takes {what}, not {given!r:.60}")


RouteTarget: TypeAlias = FlowRoute | FlowNode | str | Callable[[Any], Any] | None
"""A destination: a route, a question, a definition, a text, `None` for the end of the flow, or a
function of the state that returns one of these."""


def route_question(question: FlowNode) -> FlowRoute:
    """Ask this question next, or the first one of a definition.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.flow import FlowQuestion
        >>> route_question(FlowQuestion("sure", "Sure? ", ChoicesStrat(["yes", "no"]))).kind.name
        'QUESTION'
    """
    return FlowRoute(RouteKind.QUESTION, target=question)


def route_message(text: str) -> FlowRoute:
    """Write a text and end the completion.

    Examples:
        >>> route_message("Goodbye.").message
        'Goodbye.'
    """
    return FlowRoute(RouteKind.MESSAGE, message=text)


def route_summary(message: str | None = None) -> FlowRoute:
    """Write a summary and end the completion.

    Args:
        message: The summary; by default that of the flow's definition, or a line for each answer
            if there is no definition.

    Examples:
        >>> route_summary().kind.name
        'SUMMARY'
    """
    return FlowRoute(RouteKind.SUMMARY, message=message)


def route_output(text: str) -> FlowRoute:
    """Replace the whole completion by a text.

    Examples:
        >>> route_output("42").message
        '42'
    """
    return FlowRoute(RouteKind.OUTPUT, message=text)


def route_tool(callback: ToolCallback) -> FlowRoute:
    """End the flow with the action that a function returns, such as a tool call.

    Args:
        callback: Called with `(actions, state, tokenizer)`.

    Raises:
        FlowError: It is not a function of three arguments.

    Examples:
        >>> look_up = route_tool(lambda actions, state, tokenizer: actions.tool_calls(
        ...     {"name": "look_up", "arguments": {"city": state.answers["city"]}}
        ... ))
        >>> look_up.kind.name
        'TOOL'
    """
    require_function(callback, "route_tool", TOOL_ARGUMENTS)
    return FlowRoute(RouteKind.TOOL, target=callback)


def route_noop() -> FlowRoute:
    """End the flow; the model continues freely.

    Examples:
        >>> route_noop()
        FlowRoute(kind=<RouteKind.NOOP: 6>, target=None, message=None)
    """
    return FlowRoute(RouteKind.NOOP)


class RouteBudget(Generic[StateT]):
    """Follows a route to something that is written, and detects endless loops.

    A route may pass any number of questions whose answers are known, but each only
    `MAX_STEPS_AT_ONE` times.
    """

    def __init__(self, state: StateT) -> None:
        """Start with no steps counted."""
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
                f"the route from {question!r} does not end: it wrote nothing in "
                f"{self._steps.total()} steps; end it with a message, an output, a tool, or a "
                "question that the model answers"
            )

    def resolve(self, target: RouteTarget, question: object) -> FlowRoute:
        """The route that a question's target stands for.

        Raises:
            FlowError: It stands for none, or its functions lead on without end.
        """
        while callable(target):
            self.step(question)
            with errors_of(question):
                target = target(self._state)
        return _route(target, repr(question))


@contextmanager
def errors_of(question: object) -> Generator[None]:
    """Name the question in a `FlowError` of an author's function.

    Raises:
        FlowError: The function raised one.
    """
    try:
        yield
    except FlowError as exc:
        raise FlowError(f"{question!r} leads nowhere: {exc.message}") from exc


def check_target(target: RouteTarget, where: str) -> None:
    """Reject a target that stands for no route; the result of a function is checked later.

    Raises:
        FlowError: It stands for none.
    """
    if callable(target):
        require_function(target, where, ("state",))
    else:
        _route(target, where)


def _route(target: object, where: str) -> FlowRoute:
    match target:
        case FlowRoute():
            return target
        case FlowNode():
            return route_question(target)
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
