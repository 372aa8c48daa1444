"""One question of a flow: what is asked, and where each answer leads."""

import functools
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from concordance_shared import ConstraintError, FlowError

from concordance_sdk.constraints import Constraint
from concordance_sdk.constraints.byte_grammar import is_text_of
from concordance_sdk.constraints.validation import grammar_text
from concordance_sdk.flow.routes import RouteTarget, check_target, is_text, leading_on
from concordance_sdk.self_prompt import EraseMode, SelfPrompt, SelfPromptRun
from concordance_sdk.tokenizer import Tokenizer

StateT = TypeVar("StateT")


class FlowQuestion(Generic[StateT]):
    """A self-prompt with a name, what is done with its answer, and where that leads.

    An answer leads where `on` says; else where the first function given to `branch` says that
    says anything; else where `then` or `otherwise` says; else the flow ends and the model goes on
    by itself. A question is a definition: any number of requests may be asked it at once.

    Raises:
        FlowError: It has no name.
        ConstraintError: Its prompt or strategy is none.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> size = FlowQuestion("size", " Size (S/M): ", ChoicesStrat(["S", "M"]))
        >>> size.assign(lambda state, answer: state.data.update(price={"S": 3, "M": 4}[answer]))
        FlowQuestion('size')
        >>> size.on("S", "Small it is.").otherwise(lambda state: f"That is {state.data['price']}.")
        FlowQuestion('size')
    """

    def __init__(
        self,
        name: str,
        prompt: str,
        strategy: Constraint,
        completion_text: str | None = "\n",
        erase_mode: EraseMode | str | None = EraseMode.NONE,
    ) -> None:
        """Define a question.

        Args:
            name: Its answer is kept under this name.
            prompt: What is put into the completion.
            strategy: What the answer may be.
            completion_text: What is written behind the answer.
            erase_mode: What is taken back once there is an answer.
        """
        if not name or not is_text(name):
            raise FlowError(
                "a FlowQuestion needs a name, a text under which its answer is kept, not "
                f"{name!r:.60}"
            )
        self.name = name
        self._strategy = strategy
        self.self_prompt = asking(prompt, strategy, completion_text, erase_mode)
        self.transitions: dict[str, RouteTarget] = {}
        self.branches: list[Callable[[StateT], RouteTarget]] = []
        self.default_route: RouteTarget = None
        self.assignments: list[Callable[[StateT, str], object]] = []
        self.auto_answer: Callable[[StateT], str | None] | None = None

    def __repr__(self) -> str:
        return f"FlowQuestion({self.name!r})"

    def on(self, answer: str, target: RouteTarget) -> "FlowQuestion[StateT]":
        """Go there after this answer, in whatever case it is written.

        It may be one that the model cannot give, and only `with_auto_answer` does.

        Raises:
            FlowError: It is no target, or the answer is no text.
        """
        if not is_text(answer):
            raise FlowError(f"{self!r}.on takes the answer as a text, not {answer!r:.60}")
        check_target(target, f"{self!r} on {answer!r}")
        self.transitions[_key(answer)] = target
        return self

    def then(self, target: RouteTarget) -> "FlowQuestion[StateT]":
        """Go there after any answer that nothing else is said about. The last one given counts.

        Raises:
            FlowError: It is no target.
        """
        check_target(target, repr(self))
        self.default_route = target
        return self

    def otherwise(self, target: RouteTarget) -> "FlowQuestion[StateT]":
        """Go there after any answer that nothing else is said about. The same as `then`."""
        return self.then(target)

    def assign(self, function: Callable[[StateT, str], object]) -> "FlowQuestion[StateT]":
        """Call a function with the state and the answer, once for each answer.

        Raises:
            FlowError: It is no function.
        """
        self._require_function(function, "assign", "(state, answer)")
        self.assignments.append(function)
        return self

    def branch(self, resolver: Callable[[StateT], RouteTarget]) -> "FlowQuestion[StateT]":
        """Go where a function of the state says; if it says `None`, the next one is asked.

        Raises:
            FlowError: It is no function.
        """
        self._require_function(resolver, "branch", "the state")
        self.branches.append(resolver)
        return self

    def with_auto_answer(self, function: Callable[[StateT], str | None]) -> "FlowQuestion[StateT]":
        """Take the answer that a function of the state knows, and do not ask; ask if it is none.

        Raises:
            FlowError: It is no function.
        """
        self._require_function(function, "with_auto_answer", "the state")
        self.auto_answer = function
        return self

    def target_after(self, answer: str, state: StateT) -> RouteTarget:
        """Where an answer leads."""
        if _key(answer) in self.transitions:
            return self.transitions[_key(answer)]
        for resolver in self.branches:
            with leading_on(self):
                target: Any = resolver(state)
            if target is not None:
                return target
        return self.default_route

    def known_answer(self, state: StateT) -> str | None:
        """The answer, if it need not be asked for.

        Raises:
            FlowError: What is known is no text.
        """
        known = self.auto_answer(state) if self.auto_answer else None
        if known is not None and not is_text(known):
            raise FlowError(
                f"the auto-answer of {self!r} is {known!r:.60}; it is a text, or None to ask"
            )
        return (known or "").strip() or None

    def start(self, tokenizer: Tokenizer) -> SelfPromptRun:
        """Begin to ask.

        Raises:
            ConstraintError: The strategy cannot be enforced with this tokenizer.
        """
        return self.self_prompt.start(tokenizer)

    def value_of(self, answer: str) -> Any:
        """What an answer means that was not asked for; the text itself if it may not be given."""
        ends = (getattr(self._strategy, name, None) for name in ("stop", "end_with"))
        for end in ("", *(end for end in ends if isinstance(end, str))):
            if _may_be(self._strategy, answer + end):
                return self._strategy.value(answer + end)
        return answer

    def _require_function(self, function: object, method: str, of: str) -> None:
        if not callable(function):
            raise FlowError(f"{self!r}.{method} takes a function of {of}, not {function!r:.60}")


def asking(
    prompt: str,
    strategy: Constraint,
    completion_text: str | None,
    erase_mode: EraseMode | str | None,
) -> SelfPrompt:
    """The self-prompt of a question, by the question's own arguments."""
    return SelfPrompt(
        prompt=prompt,
        strategy=strategy,
        completion=completion_text,
        erase=erase_mode or EraseMode.NONE,
    )


def _may_be(strategy: Constraint, text: str) -> bool:
    try:
        return _is_text_of(grammar_text(strategy), text)
    except ConstraintError:  # which is said where the question is asked
        return False


#: Remembered, since a flow may come to the same answer again and again.
_is_text_of = functools.lru_cache(512)(is_text_of)


def _key(answer: str) -> str:
    return answer.strip().lower()
