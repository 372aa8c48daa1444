"""Questions of a flow, and the routes after their answers."""

import functools
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from concordance_shared import ConstraintError, FlowError
from concordance_shared.suggestions import did_you_mean, similar_names

from concordance_sdk.constraints import ChoicesStrat, Constraint
from concordance_sdk.constraints.byte_grammar import is_text_of
from concordance_sdk.constraints.validation import grammar_text
from concordance_sdk.flow.routes import (
    FlowNode,
    RouteTarget,
    check_target,
    errors_of,
    is_text,
    require_function,
)
from concordance_sdk.self_prompt import EraseMode, SelfPrompt, SelfPromptRun
from concordance_sdk.tokenizer import Tokenizer

StateT = TypeVar("StateT")


class FlowQuestion(FlowNode, Generic[StateT]):
    """A self-prompt with a name, assignments of its answer, and routes.

    The route after an answer is the first of: the target of `on`; the first target that a function
    given to `branch` returns; the target of `then`; the end of the flow, where the model continues
    freely. Defined once, asked in any number of requests.

    Raises:
        FlowError: The name is empty or not a text.
        ConstraintError: The prompt or the constraint is of a wrong type.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> size = FlowQuestion("size", " Size (S/M): ", ChoicesStrat(["S", "M"]))
        >>> size.assign(lambda state, answer: state.data.update(price={"S": 3, "M": 4}[answer]))
        FlowQuestion('size')
        >>> size.on("S", "Small it is.").then(lambda state: f"That is {state.data['price']}.")
        FlowQuestion('size')
    """

    def __init__(
        self,
        name: str,
        prompt: str,
        constraint: Constraint,
        suffix: str | None = "\n",
        erase: EraseMode | str | None = EraseMode.NONE,
    ) -> None:
        """Define a question.

        Args:
            name: The key of its answer in the state.
            prompt: The text to force into the completion.
            constraint: The texts that the answer may be.
            suffix: Text to write after the answer.
            erase: What to remove once there is an answer.
        """
        if not name or not is_text(name):
            raise FlowError(
                "a FlowQuestion needs a name, a text under which its answer is kept, not "
                f"{name!r:.60}"
            )
        self.name = name
        self._constraint = constraint
        self.self_prompt = asking(prompt, constraint, suffix, erase)
        self.transitions: dict[str, RouteTarget] = {}
        self.branches: list[Callable[[StateT], RouteTarget]] = []
        self.default_route: RouteTarget = None
        self.assignments: list[Callable[[StateT, str], object]] = []
        self.auto_answer: Callable[[StateT], str | None] | None = None

    def __repr__(self) -> str:
        return f"FlowQuestion({self.name!r})"

    def on(self, answer: str, target: RouteTarget) -> "FlowQuestion[StateT]":
        """Set the target after one answer, which is compared case-insensitively.

        It may be an answer that only `with_auto_answer` can give. Otherwise, an answer that is none
        of the question's choices is rejected when a `FlowEngine` is made. A choice without a
        target leads to that of `then`, or ends the flow.

        Raises:
            FlowError: The target is not one, or the answer is not a text.
        """
        if not is_text(answer):
            raise FlowError(f"{self!r}.on takes the answer as a text, not {answer!r:.60}")
        check_target(target, f"{self!r} on {answer!r}")
        self.transitions[_key(answer)] = target
        return self

    def then(self, target: RouteTarget) -> "FlowQuestion[StateT]":
        """Set the target after all other answers. The last one set counts.

        Raises:
            FlowError: The target is not one.
        """
        check_target(target, repr(self))
        self.default_route = target
        return self

    def assign(self, function: Callable[[StateT, str], object]) -> "FlowQuestion[StateT]":
        """Call a function with the state and the answer, once for each answer.

        Raises:
            FlowError: It is not a function.
        """
        require_function(function, f"{self!r}.assign", ("state", "answer"))
        self.assignments.append(function)
        return self

    def branch(self, resolver: Callable[[StateT], RouteTarget]) -> "FlowQuestion[StateT]":
        """Add a function of the state that returns the target, or `None` to try the next one.

        Raises:
            FlowError: It is not a function.
        """
        require_function(resolver, f"{self!r}.branch", ("state",))
        self.branches.append(resolver)
        return self

    def with_auto_answer(self, function: Callable[[StateT], str | None]) -> "FlowQuestion[StateT]":
        """Take the answer from a function of the state; ask only where it returns `None`.

        Raises:
            FlowError: It is not a function.
        """
        require_function(function, f"{self!r}.with_auto_answer", ("state",))
        self.auto_answer = function
        return self

    def target_after(self, answer: str, state: StateT) -> RouteTarget:
        """The target after an answer."""
        if _key(answer) in self.transitions:
            return self.transitions[_key(answer)]
        for resolver in self.branches:
            with errors_of(self):
                target: Any = resolver(state)
            if target is not None:
                return target
        return self.default_route

    def known_answer(self, state: StateT) -> str | None:
        """The auto-answer, `None` if the question has to be asked.

        Raises:
            FlowError: The auto-answer is not a text.
        """
        known = self.auto_answer(state) if self.auto_answer else None
        if known is not None and not is_text(known):
            raise FlowError(
                f"the auto-answer of {self!r} is {known!r:.60}; it is a text, or None to ask"
            )
        return (known or "").strip() or None

    def start(self, tokenizer: Tokenizer) -> SelfPromptRun:
        """Start a run of the question.

        Raises:
            ConstraintError: The constraint cannot be enforced with this tokenizer.
        """
        return self.self_prompt.start(tokenizer)

    def value_of(self, answer: str) -> Any:
        """The value of an auto-answer; the text itself if the constraint does not allow it."""
        ends = (getattr(self._constraint, name, None) for name in ("stop", "end_with"))
        for end in ("", *(end for end in ends if isinstance(end, str))):
            if _may_be(self._constraint, answer + end):
                return self._constraint.value(answer + end)
        return answer

    def check_answers(self) -> None:
        """Reject a route after an answer that the question's choices do not contain.

        Raises:
            FlowError: There is one, and no `with_auto_answer` that could give the answer.
        """
        constraint = self._constraint
        if self.auto_answer is not None or not isinstance(constraint, ChoicesStrat):
            return
        possible = {_key(choice) for choice in constraint.choices}
        listed = ", ".join(map(repr, constraint.choices))
        for answer in self.transitions:
            if answer not in possible:
                close = did_you_mean(similar_names(answer, constraint.choices))
                raise FlowError(
                    f"{self!r}.on({answer!r}, ...): its choices are {listed:.200}, so it never has "
                    f"this answer{close}"
                )


def asking(
    prompt: str,
    constraint: Constraint,
    suffix: str | None,
    erase: EraseMode | str | None,
) -> SelfPrompt:
    """Make the self-prompt of a question from the question's arguments."""
    return SelfPrompt(
        prompt=prompt,
        constraint=constraint,
        suffix=suffix,
        erase=erase or EraseMode.NONE,
    )


def _may_be(constraint: Constraint, text: str) -> bool:
    try:
        return _is_text_of(grammar_text(constraint), text)
    except ConstraintError:  # raised again where the question is asked
        return False


#: Cached, since a flow may return to the same answer many times.
_is_text_of = functools.lru_cache(512)(is_text_of)


def _key(answer: str) -> str:
    return answer.strip().lower()
