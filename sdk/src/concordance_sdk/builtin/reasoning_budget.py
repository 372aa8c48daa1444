"""Lets a model reason for so many tokens, then ends its reasoning."""

from typing import Annotated

from concordance_shared import Action, Added, Prefilled
from msgspec import Meta

from concordance_sdk.action_builder import Actions
from concordance_sdk.builtin.inject import InjectAtStart
from concordance_sdk.builtin.parameters import Phrase, Text
from concordance_sdk.composition import ModUse, use
from concordance_sdk.mod import mod
from concordance_sdk.text.reasoning import ReasoningSpan
from concordance_sdk.tokenizer import Tokenizer


@mod(name="close_at_once", max_backtrack=0, logits="none", registered=False)
class CloseAtOnce(InjectAtStart):
    """Ends the reasoning that the prompt opened before it has a token.

    Attributes:
        text: What it is ended by.
        open_tag: What begins reasoning.
        close_tag: What ends it.
    """

    open_tag: Phrase
    close_tag: Phrase

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Leave a prompt alone that opened nothing."""
        del actions
        reasoning = ReasoningSpan(self.open_tag, self.close_tag)
        reasoning.follow(event, tokenizer)
        self._is_done = not reasoning.is_open


@mod(max_backtrack=0, registered=False)
class ReasoningBudget:
    """Ends a model's reasoning after so many tokens, by forcing the tag that closes it.

    Attributes:
        max_tokens: How many tokens it may reason for.
        open_tag: What begins reasoning, in the completion, or in the prompt with nothing but white
            space behind it.
        close_tag: What ends it.
        closing: What is forced, if more than the tag has to stand there; it holds the tag.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(ReasoningBudget, max_tokens=4), says="<think>hm, so").text
        '<think>hm, </think>so'
    """

    max_tokens: Annotated[int, Meta(ge=0)]
    open_tag: Phrase = "<think>"
    close_tag: Phrase = "</think>"
    closing: Text = ""

    def __init__(self) -> None:
        """Begin with no reasoning.

        Raises:
            ValueError: `closing` does not hold the closing tag.
        """
        self._reasoning = ReasoningSpan(self.open_tag, self.close_tag)
        self._forced = self.closing or self.close_tag
        if self.close_tag not in self._forced:
            raise ValueError(f"closing={self.closing!r} does not hold {self.close_tag!r}")

    def mods(self) -> list[ModUse]:
        """For a budget of nothing one more, which has to be asked before the first token."""
        if self.max_tokens:
            return []
        tags = {"open_tag": self.open_tag, "close_tag": self.close_tag}
        return [use(CloseAtOnce, text=self._forced, **tags)]

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Learn whether the prompt opened the reasoning."""
        del actions
        self._reasoning.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Count the reasoning's tokens, and close it when they are enough."""
        reasoning = self._reasoning
        reasoning.follow(event, tokenizer)
        is_spent = reasoning.is_open and reasoning.num_tokens >= self.max_tokens
        if not is_spent or not reasoning.text.is_whole:  # half a character is said to its end
            return None
        rest = self._forced
        if self._forced == self.close_tag:  # what of it stands there already is not said twice
            rest = rest[reasoning.partial_close_len :]
        return actions.force_tokens(reasoning.text.encode(rest))
