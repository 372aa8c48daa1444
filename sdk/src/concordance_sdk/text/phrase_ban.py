"""Phrases that a completion must not hold: taken back, and not begun at that place again."""

from collections.abc import Sequence

from concordance_shared import Added, AdjustedLogits, Backtrack, ForwardPass

from concordance_sdk.action_builder import Actions
from concordance_sdk.text.completion_text import CompletionText
from concordance_sdk.text.phrases import PhraseWatch
from concordance_sdk.tokenizer import Tokenizer


class PhraseBan:
    """Takes a banned phrase back to the token that it began with, and masks that token there.

    It says everything else as it would: tokens are masked only where they led into the phrase, and
    only as long as what stands before that place is the same.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> @mod
        ... class NoCats:
        ...     def __init__(self):
        ...         self.ban = PhraseBan(["cat"])
        ...
        ...     def forward_pass(self, event, actions, tokenizer):
        ...         return self.ban.mask(event, actions, tokenizer)
        ...
        ...     def added(self, event, actions, tokenizer):
        ...         return self.ban.take_back(event, actions, tokenizer)
        >>> "cat" in play(NoCats, script="a cat").text
        False
    """

    def __init__(
        self, phrases: Sequence[str], *, ignore_case: bool = True, whole_words: bool = True
    ) -> None:
        """Ban phrases.

        Args:
            phrases: What must not be said, at least one.
            ignore_case: Whether `Cat` is `cat`.
            whole_words: Whether `cat` may stand in `category`.

        Raises:
            ValueError: There is no phrase, or an empty one.
        """
        self.text = CompletionText()
        self._watch = PhraseWatch(
            self.text, phrases, ignore_case=ignore_case, whole_words=whole_words
        )
        self._masked: dict[int, set[int]] = {}  # position -> tokens that began a phrase there

    def mask(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> AdjustedLogits | None:
        """The answer to `ForwardPass`: mask what led into a phrase at this position before."""
        self.text.follow(event, tokenizer)
        self._forget_behind(event.step)
        masked = self._masked.get(event.step)
        return actions.adjust_logits(ban=sorted(masked)) if masked else None

    def take_back(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Backtrack | None:
        """The answer to `Added`: take a phrase back that has just become complete."""
        self._forget_behind(event.step)
        self.text.follow(event, tokenizer)
        match = self._watch.find()
        if match is None:
            return None
        first = self.text.token_ids[match.cut.kept]
        self._masked.setdefault(match.cut.kept, set()).add(first)
        return actions.backtrack(match.cut.num_tokens)

    def _forget_behind(self, position: int) -> None:
        """Behind a place where the completion changed, nothing is as it was."""
        for stale in [p for p in self._masked if p > position]:
            del self._masked[stale]
