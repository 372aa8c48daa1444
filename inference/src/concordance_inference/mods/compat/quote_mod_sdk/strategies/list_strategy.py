"""A strategy for several answers, one behind the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from concordance_inference.mods.compat.quote_mod_sdk.strategies.base import (
    RuntimeState,
    Strategy,
    tokenize_str,
)


@dataclass
class ListState(RuntimeState):
    """Where a list stands.

    `phase` is what is being written: `in_open`, `await_element`, `in_wrap_open`, `in_element`,
    `in_wrap_close`, `await_sep`, `in_separator`, `in_close`, `in_end_with`, `done`.
    """

    phase: str = "await_element"
    literal: list[int] = field(default_factory=list)  # what must still be written of this phase
    elements_completed: int = 0
    element_state: Any = None


class ListStrategy(Strategy):
    """Elements with something around each, between two, and around all of them."""

    def __init__(  # as it was
        self,
        *,
        open_ids: Sequence[int] = (),
        close_ids: Sequence[int] = (),
        wrap_ids: Sequence[int] = (),
        sep_ids: Sequence[int] = (),
        end_with_ids: Sequence[int] = (),
        min_elements: int | None = 0,
        max_elements: int | None = None,
        elements: Any,
    ) -> None:
        """Allow a list.

        Args:
            open_ids: What stands before the first element.
            close_ids: What stands behind the last.
            wrap_ids: What stands on both sides of each.
            sep_ids: What stands between two.
            end_with_ids: What stands behind it all.
            min_elements: At least so many.
            max_elements: At most so many.
            elements: A strategy for all of them, or a list of one for each.
        """
        self._open, self._close = list(open_ids), list(close_ids)
        self._wrap, self._sep, self._end_with = list(wrap_ids), list(sep_ids), list(end_with_ids)
        self._min = int(min_elements or 0)
        self._max = None if max_elements is None else int(max_elements)
        self._elements = elements
        if isinstance(elements, list):
            self._max = min(self._max or len(elements), len(cast(list[Any], elements)))

    def start(self, tokenizer: Any) -> ListState:
        """Nothing is written."""
        state = ListState()
        self._enter("in_open" if self._open else "await_element", state, tokenizer)
        return state

    def allowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """What may be written next, in this phase or to begin another."""
        if state.literal:
            return {state.literal[0]}
        allowed: set[int] = set()
        if state.phase == "await_element":
            if self._has_room(state):
                allowed |= self._first_of_element(state, tokenizer)
            may_end = not state.elements_completed or not self._sep
            if may_end and state.elements_completed >= self._min:
                allowed |= self._first_of_end(tokenizer)
        elif state.phase == "in_element":
            allowed |= self._element(state).allowed_tokens(state.element_state, tokenizer)
        elif state.phase == "await_sep":
            allowed |= set(self._sep[:1]) if self._has_room(state) else set()
            if state.elements_completed >= self._min:
                allowed |= self._first_of_end(tokenizer)
        return allowed

    def disallowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """What the element disallows that is being written."""
        if state.phase == "in_element":
            return set(self._element(state).disallowed_tokens(state.element_state, tokenizer) or ())
        return set()

    def step(self, state: Any, token_id: int, tokenizer: Any) -> None:
        """Follow a token; one that may not come changes nothing."""
        token_id = int(token_id)
        if state.literal:
            if token_id == state.literal[0]:
                state.literal.pop(0)
                if not state.literal:
                    self._go_on(state, tokenizer)
        elif state.phase == "in_element":
            self._follow_element(state, token_id, tokenizer)
        elif state.phase in ("await_element", "await_sep"):
            self._choose(state, token_id, tokenizer)

    def is_complete(self, state: Any) -> bool:
        """Whether all is written."""
        return state.phase == "done"

    def trim_answer(self, answer: str) -> str:
        """All that was written."""
        return answer

    # Phases

    def _enter(self, phase: str, state: Any, tokenizer: Any) -> None:
        """Begin a phase, or what comes behind it if there is nothing of it to write."""
        literals = {
            "in_open": self._open,
            "in_wrap_open": self._wrap,
            "in_wrap_close": self._wrap,
            "in_separator": self._sep,
            "in_close": self._close,
            "in_end_with": self._end_with,
        }
        state.phase = phase
        state.literal = list(literals.get(phase, ()))
        if phase in literals and not state.literal:
            self._go_on(state, tokenizer)
        if phase == "in_element":
            state.element_state = self._element(state).start(tokenizer)
        if phase == "await_sep" and not self._sep and self._has_room(state):
            state.phase = "await_element"
        if phase == "await_sep" and self._is_over(state):
            self._enter("in_close", state, tokenizer)

    def _go_on(self, state: Any, tokenizer: Any) -> None:
        """Begin what comes behind a phase of which all is written."""
        following = {
            "in_open": "await_element",
            "in_wrap_open": "in_element",
            "in_wrap_close": "await_sep",
            "in_separator": "await_element",
            "in_close": "in_end_with",
            "in_end_with": "done",
        }
        state.elements_completed += state.phase == "in_wrap_close"
        self._enter(following[state.phase], state, tokenizer)

    def _choose(self, state: Any, token_id: int, tokenizer: Any) -> None:
        """Begin what a token begins, where several things may come."""
        room, is_first = self._has_room(state), state.phase == "await_element"
        if is_first and room and token_id in self._first_of_element(state, tokenizer):
            self._enter("in_wrap_open" if self._wrap else "in_element", state, tokenizer)
        elif not is_first and room and token_id in self._sep[:1]:
            self._enter("in_separator", state, tokenizer)
        elif state.elements_completed >= self._min and token_id in self._first_of_end(tokenizer):
            self._enter("in_close", state, tokenizer)
        else:
            return
        if state.phase != "done":
            self.step(state, token_id, tokenizer)

    def _follow_element(self, state: Any, token_id: int, tokenizer: Any) -> None:
        element = self._element(state)
        element.step(state.element_state, token_id, tokenizer)
        if not element.is_complete(state.element_state):
            return
        stop: str | None = getattr(element, "_stop", None)
        if stop and tokenize_str(stop, tokenizer) == self._wrap:  # which is written already
            state.phase = "in_wrap_close"
            self._go_on(state, tokenizer)
        else:
            self._enter("in_wrap_close", state, tokenizer)

    def _element(self, state: Any) -> Any:
        if isinstance(self._elements, list):
            return self._elements[state.elements_completed]
        return self._elements

    def _has_room(self, state: Any) -> bool:
        return self._max is None or state.elements_completed < self._max

    def _is_over(self, state: Any) -> bool:
        """Whether nothing can come that is not its end, and nothing begins that."""
        return not self._has_room(state) and not self._close and not self._end_with

    def _first_of_element(self, state: Any, tokenizer: Any) -> set[int]:
        if self._wrap:
            return set(self._wrap[:1])
        element = self._element(state)
        return set(element.allowed_tokens(element.start(tokenizer), tokenizer))

    def _first_of_end(self, tokenizer: Any) -> set[int]:
        """What begins the end of the list; the end of the completion where nothing else does."""
        if ending := [*self._close, *self._end_with]:
            return {ending[0]}
        end = getattr(tokenizer, "eos_token_id", None)
        return set() if end is None else {int(end)}
