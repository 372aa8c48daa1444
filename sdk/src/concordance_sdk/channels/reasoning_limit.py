"""A limit on the tokens of the reasoning of a completion with channels."""

from concordance_shared import Action, ForwardPass

from concordance_sdk.action_builder import Actions
from concordance_sdk.channels.completion_channels import Channels
from concordance_sdk.tokenizer import Tokenizer


class ReasoningLimit:
    """Ends the reasoning once it has its most tokens, all of its messages together.

    It depends on the completion only, so that one that was cut is resumed as if it had not been.

    A model that may call tools then chooses the channel of its next message itself, but not
    `analysis`; if it reasons in spite of that, `final` is opened. The arguments of a call are never
    cut.
    """

    def __init__(self, max_tokens: int, *, closing: str = "", may_call: bool = False) -> None:
        """Limit the reasoning of one completion.

        Args:
            max_tokens: The most tokens of reasoning.
            closing: A text that ends it.
            may_call: The request has tools.
        """
        self._max_tokens = max_tokens
        self._closing = closing
        self._may_call = may_call

    def forward_pass(
        self, event: ForwardPass, channels: Channels, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Keep the model from reasoning: at its first token, and in a header that this opened."""
        is_due = not event.step and not self._max_tokens
        if is_due and (channels.format.has_headers or channels.place.is_reasoning):
            action = self._end(channels, actions, tokenizer, event.step)
            if action is not None:
                return action
        if not self._may_call or not channels.place.in_header:
            return None
        banned = channels.format.reopening(channels.stretch_at(event.step).state)
        is_due = banned and self._follows_end(channels, event.step)
        return actions.adjust_logits(ban=list(banned)) if is_due else None

    def added(
        self, length: int, channels: Channels, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """End the reasoning if its tokens are spent, between two characters.

        Args:
            length: Of the completion, in tokens.
            channels: Its channels.
            actions: The action builder.
            tokenizer: The model's.
        """
        is_spent = channels.place.is_reasoning and channels.num_reasoning >= self._max_tokens
        if not is_spent or not channels.is_whole:
            return None
        return self._end(channels, actions, tokenizer, length)

    def _end(
        self, channels: Channels, actions: Actions, tokenizer: Tokenizer, length: int
    ) -> Action | None:
        may_call = self._may_call and channels.format.has_headers
        if may_call and channels.place.is_reasoning and channels.begin:
            may_call = self._num_before(channels, length) < self._max_tokens
        ids = None if may_call else channels.to_final()
        ids = channels.to_header() if ids is None else ids
        if not ids:
            return None
        if self._closing and channels.place.is_reasoning:
            ids = self._with_closing(ids, channels, tokenizer, length)
        return actions.force_tokens(ids)

    def _follows_end(self, channels: Channels, length: int) -> bool:
        """True in a header that follows the reasoning which spent the tokens."""
        if channels.num_reasoning < self._max_tokens:
            return False
        while length and channels.at(length).in_header:
            length -= 1
        before = channels.at(length)
        return before.is_reasoning or (before.in_header and not self._max_tokens)

    def _num_before(self, channels: Channels, length: int) -> int:
        """The tokens of reasoning before the current message; if spent, it was not to reason."""
        return channels.num_reasoning - (length - channels.begin)

    def _with_closing(
        self, ids: list[int], channels: Channels, tokenizer: Tokenizer, length: int
    ) -> list[int]:
        """The closing text, then what ends the reasoning unless the text does."""
        state = channels.stretch_at(length).state
        is_tag = not channels.format.has_headers
        is_ended = any(end in self._closing for end in channels.format.reasoning_ends(state))
        return tokenizer.encode(self._closing) + ([] if is_tag and is_ended else ids)
