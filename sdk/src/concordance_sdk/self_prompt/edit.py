"""A change of a completion's end: so many tokens taken back, then others put there."""

from collections.abc import Sequence

from concordance_shared import Action
from msgspec import Struct

from concordance_sdk.action_builder import Actions


class Edit(Struct, frozen=True):
    """What is to become of the end of a completion. Two of them make one.

    Examples:
        >>> from concordance_sdk.action_builder import ACTIONS
        >>> Edit.between([1, 2, 3], [1, 4]).then([5]).action(ACTIONS)
        Backtrack(n=2, tokens=(4, 5))
    """

    n: int = 0  # how many tokens are taken back
    tokens: tuple[int, ...] = ()  # what is put there then

    @classmethod
    def between(cls, before: Sequence[int], after: Sequence[int]) -> "Edit":
        """The change from one end of a completion to another; what both begin with stays."""
        same = 0
        while same < min(len(before), len(after)) and before[same] == after[same]:
            same += 1
        return cls(len(before) - same, tuple(after[same:]))

    def __bool__(self) -> bool:
        return bool(self.n or self.tokens)

    def then(self, token_ids: Sequence[int]) -> "Edit":
        """The same change, and more tokens behind."""
        return Edit(self.n, (*self.tokens, *token_ids))

    def action(self, actions: Actions) -> Action | None:
        """The change as an action for `ForwardPass` or `Added`."""
        if self.n:
            return actions.backtrack(self.n, self.tokens or None)
        return actions.force_tokens(self.tokens) if self.tokens else None
