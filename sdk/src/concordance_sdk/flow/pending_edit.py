"""One event that a flow answers."""

from collections.abc import Sequence

from concordance_shared import Action

from concordance_sdk.action_builder import Actions
from concordance_sdk.self_prompt.edit import Edit
from concordance_sdk.tokenizer import Tokenizer


class PendingEdit:
    """Where the completion ends at an event, what is to become of that end, and who carries it out.

    `edit` is what is asked for so far; every step of a route may add to it.
    """

    def __init__(self, now: int, actions: Actions, tokenizer: Tokenizer) -> None:
        """Ask for nothing yet.

        Args:
            now: The step behind all that is there.
            actions: Makes actions.
            tokenizer: The model's.
        """
        self.now = now
        self.actions = actions
        self.tokenizer = tokenizer
        self.edit = Edit()

    @property
    def end(self) -> int:
        """The step behind all that will be there."""
        return self.now - self.edit.n + len(self.edit.tokens)

    def write(self, token_ids: Sequence[int]) -> Action | None:
        """What is asked for so far, and these tokens behind."""
        return self.edit.then(token_ids).action(self.actions)
