"""The strategy of a list of answers."""

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
    """The state of a list.

    `phase` is the current part: `in_open`, `await_element`, `in_wrap_open`, `in_element`,
    `in_wrap_close`, `await_sep`, `in_separator`, `in_close`, `in_end_with`, `done`.
    """

    phase: str = "await_element"
    literal: list[int] = field(default_factory=list)  # the remaining tokens of a literal phase
    elements_completed: int = 0
    element_state: Any = None


class ListStrategy(Strategy):
    """A list of elements, with separators and enclosing texts.

    The phases of `["a", "b"].`, where `"` is the wrap and `.` is `end_with`:

        in_open [ -> await_element -> in_wrap_open " -> in_element a -> in_wrap_close " -> await_sep
          await_sep -> in_separator , -> await_element ...
          await_sep -> in_close ] -> in_end_with . -> done
    """

    def __init__(
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
        """Create the strategy.

        Args:
            open_ids: Tokens before the first element.
            close_ids: Tokens after the last element.
            wrap_ids: Tokens on both sides of each element.
            sep_ids: Tokens between two elements.
            end_with_ids: Tokens after the list.
            min_elements: Minimum number of elements.
            max_elements: Maximum number of elements.
            elements: A strategy for every element, or a list with one per element.
        """
        self._open, self._close = list(open_ids), list(close_ids)
        self._wrap, self._sep, self._end_with = list(wrap_ids), list(sep_ids), list(end_with_ids)
        self._min = int(min_elements or 0)
        self._max = None if max_elements is None else int(max_elements)
        self._elements = elements
        if isinstance(elements, list):
            self._max = min(self._max or len(elements), len(cast(list[Any], elements)))

    def start(self, tokenizer: Any) -> ListState:
        """Return the state of an empty list."""
        state = ListState()
        self._enter("in_open" if self._open else "await_element", state, tokenizer)
        return state

    def allowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Return the tokens that continue this phase or start another."""
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
        """Return the tokens that the current element disallows."""
        if state.phase == "in_element":
            return set(self._element(state).disallowed_tokens(state.element_state, tokenizer) or ())
        return set()

    def step(self, state: Any, token_id: int, tokenizer: Any) -> None:
        """Follow a token; ignore one that is not allowed."""
        token_id = int(token_id)
        if state.literal:
            if token_id == state.literal[0]:
                state.literal.pop(0)
                if not state.literal:
                    self._enter_next(state, tokenizer)
        elif state.phase == "in_element":
            self._follow_element(state, token_id, tokenizer)
        elif state.phase in ("await_element", "await_sep"):
            self._choose(state, token_id, tokenizer)

    def is_complete(self, state: Any) -> bool:
        """True after `close` and `end_with`."""
        return state.phase == "done"

    def trim_answer(self, answer: str) -> str:
        """Return the whole text."""
        return answer

    # Phases

    def _enter(self, phase: str, state: Any, tokenizer: Any) -> None:
        """Start a phase, or the one after it if its literal is empty."""
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
            self._enter_next(state, tokenizer)
        if phase == "in_element":
            state.element_state = self._element(state).start(tokenizer)
        if phase == "await_sep" and not self._sep and self._has_room(state):
            state.phase = "await_element"
        if phase == "await_sep" and self._is_over(state):
            self._enter("in_close", state, tokenizer)

    def _enter_next(self, state: Any, tokenizer: Any) -> None:
        """Start the phase after a complete one."""
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
        """Start the phase that a token belongs to, where several are possible."""
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
        if stop and tokenize_str(stop, tokenizer) == self._wrap:  # the terminator closes the wrap
            state.phase = "in_wrap_close"
            self._enter_next(state, tokenizer)
        else:
            self._enter("in_wrap_close", state, tokenizer)

    def _element(self, state: Any) -> Any:
        if isinstance(self._elements, list):
            return self._elements[state.elements_completed]
        return self._elements

    def _has_room(self, state: Any) -> bool:
        return self._max is None or state.elements_completed < self._max

    def _is_over(self, state: Any) -> bool:
        """True if the list is full and has no closing text, so that it ends without a token."""
        return not self._has_room(state) and not self._close and not self._end_with

    def _first_of_element(self, state: Any, tokenizer: Any) -> set[int]:
        if self._wrap:
            return set(self._wrap[:1])
        element = self._element(state)
        return set(element.allowed_tokens(element.start(tokenizer), tokenizer))

    def _first_of_end(self, tokenizer: Any) -> set[int]:
        """Return the first token of the closing text; EOS if there is none."""
        if ending := [*self._close, *self._end_with]:
            return {ending[0]}
        end = getattr(tokenizer, "eos_token_id", None)
        return set() if end is None else {int(end)}
