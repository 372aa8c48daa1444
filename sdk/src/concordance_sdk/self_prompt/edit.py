"""Edits of a completion's end, and what a self-prompt erases."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NoReturn

from concordance_shared import Action
from msgspec import Struct

from concordance_sdk.action_builder import Actions


class EraseMode(StrEnum):
    """What a self-prompt removes from the completion and the KV cache once it is answered.

    Attributes:
        NONE: Nothing.
        PROMPT: The prompt; the answer and its suffix stay.
        ALL: Prompt, answer and suffix.

    Examples:
        >>> EraseMode("all") is EraseMode.ALL
        True
    """

    NONE = "none"
    PROMPT = "prompt"
    ALL = "all"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        known = ", ".join(repr(mode.value) for mode in cls)
        raise ValueError(f"erase is one of {known}, not {value!r:.60}")


class Edit(Struct, frozen=True):
    """An edit of a completion's end: remove tokens, then append others. Empty if it does neither.

    The methods of `SelfPromptRun` return edits; a handler returns `edit.action(actions)`.

    Attributes:
        n: The number of tokens to remove.
        tokens: The tokens to append after that.

    Examples:
        >>> Edit.between([1, 2, 3], [1, 4]).then([5]).action(Actions())
        Backtrack(n=2, tokens=(4, 5))
    """

    n: int = 0  # tokens to remove
    tokens: tuple[int, ...] = ()  # tokens to append after that

    @classmethod
    def between(cls, before: Sequence[int], after: Sequence[int]) -> "Edit":
        """The edit from one end of a completion to another; their common prefix stays."""
        same = 0
        while same < min(len(before), len(after)) and before[same] == after[same]:
            same += 1
        return cls(len(before) - same, tuple(after[same:]))

    def __bool__(self) -> bool:
        return bool(self.n or self.tokens)

    def then(self, token_ids: Sequence[int]) -> "Edit":
        """The same edit, with more tokens appended."""
        return Edit(self.n, (*self.tokens, *token_ids))

    def action(self, actions: Actions) -> Action | None:
        """The edit as an action for `ForwardPass` or `Added`; `None` for an empty edit."""
        if self.n:
            return actions.backtrack(self.n, self.tokens or None)
        return actions.force_tokens(self.tokens) if self.tokens else None
