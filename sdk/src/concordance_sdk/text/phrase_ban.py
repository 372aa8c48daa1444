"""Phrases banned from a completion: backtracked over, and not begun at that position again."""

from collections.abc import Sequence

from concordance_shared import Added, AdjustedLogits, Backtrack, ForwardPass, Prefilled

from concordance_sdk.action_builder import Actions
from concordance_sdk.follower import Follower
from concordance_sdk.one_request import OneRequest
from concordance_sdk.request_context import num_given
from concordance_sdk.text.completion_text import CompletionText
from concordance_sdk.text.phrases import PhraseWatch, max_backtrack_for
from concordance_sdk.tokenizer import Tokenizer


class PhraseBan(Follower):
    """Part of a mod that backtracks over a banned phrase and masks its first token there.

    Belongs to one request: make it in `parts` or `__init__` of a class mod. Tokens are masked only
    at positions where they led into a phrase, and only while the text before that position stays
    the same.

    Attributes:
        text: The completion, which the ban follows.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> @mod
        ... class NoCats:
        ...     def parts(self):
        ...         return [PhraseBan(["cat"])]
        >>> "cat" in play(NoCats, script="a cat").text
        False
    """

    def __init__(
        self,
        phrases: Sequence[str],
        *,
        ignore_case: bool = True,
        whole_words: bool = True,
        text: CompletionText | None = None,
    ) -> None:
        """Ban phrases.

        Args:
            phrases: At least one.
            ignore_case: True if `cat` also bans `Cat`.
            whole_words: True if `cat` is allowed inside `category`.
            text: A completion that the caller follows, to ban the phrases from its end on.

        Raises:
            ValueError: There is no phrase, an empty one, or one that is not a text.
        """
        self.text = CompletionText() if text is None else text
        self._follows = text is None
        self._request = OneRequest("PhraseBan")
        self._watch = PhraseWatch(
            self.text,
            phrases,
            ignore_case=ignore_case,
            whole_words=whole_words,
            begin=len(self.text),
        )
        self._max_backtrack = max_backtrack_for(phrases)
        self._masked: dict[int, set[int]] = {}  # position -> tokens that began a phrase there

    @property
    def max_backtrack(self) -> int:
        """Tokens that a stream holds back: those of the longest phrase, at least the default."""
        return self._max_backtrack

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Record the token budget, at which a word at the end is complete."""
        del actions
        self._follow(event, tokenizer)

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> AdjustedLogits | None:
        """Mask the tokens that led into a phrase at this position before."""
        self._follow(event, tokenizer)
        self._drop_masks_after(event.step)
        masked = self._masked.get(event.step)
        return actions.adjust_logits(ban=sorted(masked)) if masked else None

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Backtrack | None:
        """Backtrack over a phrase that is now complete."""
        self._drop_masks_after(event.step)
        self._follow(event, tokenizer)
        match = self._watch.find()
        if match is None:
            return None
        token_ids, kept = self.text.token_ids, max(match.cut.kept, num_given())
        if kept >= len(token_ids):
            return None  # an earlier request generated all of it
        self._masked.setdefault(kept, set()).add(token_ids[kept])
        return actions.backtrack(len(token_ids) - kept)

    def close(self) -> None:
        """Stop following the text."""
        self._watch.close()

    def _follow(self, event: Prefilled | ForwardPass | Added, tokenizer: Tokenizer) -> None:
        self._request.check(event)
        if self._follows:
            self.text.follow(event, tokenizer)

    def _drop_masks_after(self, position: int) -> None:
        for stale in [p for p in self._masked if p > position]:
            del self._masked[stale]
