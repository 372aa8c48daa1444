"""A limit on the tokens of a model's reasoning."""

from typing import Annotated

from concordance_shared import Action, Added, ForwardPass, Prefilled
from msgspec import Meta

from concordance_sdk.action_builder import Actions
from concordance_sdk.builtin.inject import StartText
from concordance_sdk.builtin.parameters import Phrase, Text
from concordance_sdk.follower import Follower
from concordance_sdk.mod import mod
from concordance_sdk.text.reasoning import ReasoningSpan
from concordance_sdk.tokenizer import Tokenizer


class _CloseAtStart(Follower):
    """Ends the reasoning that the prompt opened before it has a token."""

    def __init__(self, closing: str, open_tag: str, close_tag: str) -> None:
        self._text = StartText(closing)
        self._prompt = ReasoningSpan(open_tag, close_tag)

    def prepare(self, tokenizer: Tokenizer) -> None:
        self._text.prepare(tokenizer)

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        del actions
        self._prompt.follow(event, tokenizer)

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        if not self._prompt.is_open:
            return None
        return self._text.forward_pass(event, actions, tokenizer)


@mod(max_backtrack=0, registered=False)
class ReasoningBudget:
    """Ends a model's reasoning after a number of tokens, by forcing the closing tag.

    Attributes:
        max_tokens (int, at least 0): The tokens that the reasoning may have.
        open_tag (str, 1 to 512 characters, default "<think>"): The tag that opens reasoning, in the
            completion, or in the prompt with only white space after it.
        close_tag (str, 1 to 512 characters, default "</think>"): The tag that closes reasoning.
        closing (str, at most 8192 characters, default ""): The text to force, which contains the
            closing tag; if it is empty, the tag itself.

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
        """Follow the reasoning.

        Raises:
            ValueError: `closing` does not contain the closing tag.
        """
        self._reasoning = ReasoningSpan(self.open_tag, self.close_tag)
        self._forced = self.closing or self.close_tag
        if self.close_tag not in self._forced:
            raise ValueError(f"closing={self.closing!r} does not contain {self.close_tag!r}")

    def parts(self) -> list[Follower]:
        """For a budget of 0, a part that acts before the first token is sampled."""
        if self.max_tokens:
            return []
        return [_CloseAtStart(self._forced, self.open_tag, self.close_tag)]

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Record if the prompt opened the reasoning."""
        del actions
        self._reasoning.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Count the tokens of the reasoning, and close it when the budget is spent."""
        reasoning = self._reasoning
        reasoning.follow(event, tokenizer)
        is_spent = reasoning.is_open and reasoning.num_tokens >= self.max_tokens
        if not is_spent or not reasoning.text.is_whole:  # wait for the rest of a character
            return None
        rest = self._forced
        if self._forced == self.close_tag:  # do not repeat what of the tag is there already
            rest = rest[reasoning.partial_close_len :]
        return actions.force_tokens(reasoning.text.encode(rest))
