"""A limit on the tokens of a model's reasoning."""

from typing import Annotated

from concordance_shared import Action, Added, ForwardPass, Prefilled
from msgspec import Meta

from concordance_sdk.action_builder import Actions
from concordance_sdk.builtin.inject import StartText
from concordance_sdk.builtin.parameters import Text
from concordance_sdk.channels import Channels, get_channels
from concordance_sdk.channels.reasoning_limit import ReasoningLimit
from concordance_sdk.context import get_schemas
from concordance_sdk.follower import Follower
from concordance_sdk.mod import mod
from concordance_sdk.text.reasoning import ReasoningSpan
from concordance_sdk.tokenizer import Tokenizer

#: A tag; empty for the model's own.
Tag = Annotated[str, Meta(max_length=512)]

#: The tags of a model whose channels are not known.
_TAGS = ("<think>", "</think>")


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


class _AtPositions(Follower):
    """Keeps a model with channels from reasoning, at positions that are not sampled yet."""

    def __init__(self, limit: ReasoningLimit, at_start: _CloseAtStart | None) -> None:
        self._limit = limit
        self._at_start = at_start  # of a model without channels

    def prepare(self, tokenizer: Tokenizer) -> None:
        if self._at_start:
            self._at_start.prepare(tokenizer)

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        if self._at_start:
            self._at_start.prefilled(event, actions, tokenizer)

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        if channels := get_channels():
            return self._limit.forward_pass(event, channels, actions, tokenizer)
        return self._at_start and self._at_start.forward_pass(event, actions, tokenizer)


@mod(max_backtrack=0, logits="none", registered=False)
class ReasoningBudget:
    """Ends a model's reasoning after a number of tokens.

    It forces the model's closing tag, or, for gpt-oss, the header of the channel `final`. The
    tokens of all messages of reasoning count together; the arguments of a tool call are not
    reasoning. A request with tools leaves the choice between `final` and a call to the model. Where
    the budget ends inside a character, it waits for its last token.

    Attributes:
        max_tokens (int, at least 0): The tokens that the reasoning may have.
        open_tag (str, at most 512 characters, default ""): The tag that opens reasoning, in the
            completion, or in the prompt with only white space after it; by default, the model's
            own.
        close_tag (str, at most 512 characters, default ""): The tag that closes reasoning; by
            default, the model's own.
        closing (str, at most 8192 characters, default ""): The text to force, which contains the
            closing tag; if it is empty, the tag itself. Without tags of your own, the end of the
            reasoning follows a text that does not contain it.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(ReasoningBudget, max_tokens=4), says="<think>hm, so").text
        '<think>hm, </think>so'
    """

    max_tokens: Annotated[int, Meta(ge=0)]
    open_tag: Tag = ""
    close_tag: Tag = ""
    closing: Text = ""

    def __init__(self) -> None:
        """Follow the reasoning.

        Raises:
            ValueError: `closing` does not contain the closing tag.
        """
        self._is_own = bool(self.open_tag or self.close_tag)
        opening, closing = self.open_tag or _TAGS[0], self.close_tag or _TAGS[1]
        self._tags = (opening, closing)
        self._reasoning = ReasoningSpan(opening, closing)
        self._forced = self.closing or closing
        if closing not in self._forced:
            if self._is_own:
                raise ValueError(f"closing={self.closing!r} does not contain {closing!r}")
            self._forced += closing
        self._limit = ReasoningLimit(
            self.max_tokens, closing=self.closing, may_call=bool(get_schemas().tools)
        )

    def parts(self) -> list[Follower]:
        """For a budget of 0, or tools, a part that acts before a token is sampled."""
        at_start = None if self.max_tokens else _CloseAtStart(self._forced, *self._tags)
        if self._is_own:
            return [at_start] if at_start else []
        is_needed = at_start is not None or bool(get_schemas().tools)
        return [_AtPositions(self._limit, at_start)] if is_needed else []

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Record if the prompt opened the reasoning."""
        del actions
        if self._channels() is None:
            self._reasoning.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Count the tokens of the reasoning, and close it when the budget is spent."""
        if channels := self._channels():
            length = event.step + len(event.added_tokens)
            return self._limit.added(length, channels, actions, tokenizer)
        reasoning = self._reasoning
        reasoning.follow(event, tokenizer)
        is_spent = reasoning.is_open and reasoning.num_tokens >= self.max_tokens
        if not is_spent or not reasoning.text.is_whole:  # wait for the rest of a character
            return None
        rest = self._forced
        if self._forced == self._tags[1]:  # do not repeat what of the tag is there already
            rest = rest[reasoning.partial_close_len :]
        return actions.force_tokens(reasoning.text.encode(rest))

    def _channels(self) -> Channels | None:
        """The channels to follow; `None` for tags of the request's own, or without channels."""
        return None if self._is_own else get_channels()
