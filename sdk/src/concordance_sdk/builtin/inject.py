"""Texts that are forced into the completion, once: at its start or at a later point."""

from collections.abc import Sequence
from typing import Annotated, Literal

from concordance_shared import Action, Added, ForwardPass, Prefilled
from msgspec import Meta

from concordance_sdk.action_builder import Actions
from concordance_sdk.builtin.parameters import Count, Phrase, Text
from concordance_sdk.follower import Follower
from concordance_sdk.mod import mod
from concordance_sdk.request_context import current_request, ends_hidden, may_write
from concordance_sdk.text.completion_text import CompletionText
from concordance_sdk.text.phrases import max_backtrack_for
from concordance_sdk.text.reasoning import ReasoningSpan
from concordance_sdk.text.sentences import SentenceCount
from concordance_sdk.tokenizer import Tokenizer


class StartText(Follower):
    """Part of a mod that forces a text at the first position where nothing else is written."""

    def __init__(self, text: str) -> None:
        """Force `text` once; an empty one changes nothing."""
        self._text = text
        self._token_ids: list[int] | None = None
        self._is_done = not text

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Tokenize the text before the request is scheduled."""
        self._token_ids = tokenizer.encode(self._text)

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Force the text, unless a constraint, self-prompt or flow is being written."""
        if self._is_done or not may_write(event.step):
            return None
        self._is_done = True
        token_ids = self._token_ids
        if token_ids is None:
            token_ids = tokenizer.encode(self._text)
        return None if _was_forced(token_ids) else actions.force_tokens(token_ids)


def _was_forced(token_ids: Sequence[int]) -> bool:
    """True if the request continues a completion that is past the start: the text is in it."""
    request = current_request()
    given = request.given if request else None
    if given is None:
        return False
    for step, mod_name in enumerate(given.forced_by):
        if mod_name is None and may_write(step):
            return True
        begun = given.token_ids[step : step + len(token_ids)]
        if mod_name is not None and begun == tuple(token_ids[: len(begun)]):
            return True  # in whole, or cut; then the rest follows
    return False


@mod(max_backtrack=0, logits="none", registered=False)
class InjectAtStart:
    """Starts the completion with a text.

    Mods listed before it come first: the text follows what they force at the start, and the
    constraint, self-prompt or flow that they have begun.

    Attributes:
        text (str, at most 8192 characters): The text; an empty one changes nothing.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(InjectAtStart, text="Hi,"), says=" you").text
        'Hi, you'
    """

    text: Text

    def parts(self) -> list[StartText]:
        """The text."""
        return [StartText(self.text)]


@mod(max_backtrack=0, registered=False)
class InjectAfterTokens:
    """Forces a text after a number of tokens of the completion, unless it ended before.

    Where those end inside a character, it waits for the rest of the character.

    Attributes:
        text (str, at most 8192 characters): The text.
        count (int, at least 0): The number of tokens before it; 0 is the same as 1.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(InjectAfterTokens, text="[3]", count=3), says="abcde").text
        'abc[3]de'
    """

    text: Text
    count: Annotated[int, Meta(ge=0)]

    def __init__(self) -> None:
        """Count the tokens of the completion."""
        self._text = CompletionText()
        self._is_done = False

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Force the text once there are enough tokens."""
        text = self._text
        text.follow(event, tokenizer)
        is_due = len(text.token_ids) >= self.count and text.is_whole and not text.is_final
        if self._is_done or not is_due or ends_hidden(len(text.token_ids)):
            return None
        self._is_done = True
        return actions.force_tokens(text.encode(self.text))


@mod(max_backtrack=16, registered=False)
class InjectAfterSentences:
    """Forces a text after the first sentences of the completion.

    The end of a sentence is known when the next one begins, which is then backtracked over.

    Attributes:
        text (str, at most 8192 characters): The text; start it with a space to separate it from the
            sentence.
        count (int, at least 1, default 1): The number of sentences before it.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(InjectAfterSentences, text=" Look:"), says="One. Two. Three.").text
        'One. Look:Two. Three.'
    """

    text: Text
    count: Count = 1

    def __init__(self) -> None:
        """Count the sentences of the completion."""
        self._text = CompletionText()
        self._sentences = SentenceCount(self._text)
        self._is_done = False

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Record the token budget, at which the last sentence ends."""
        del actions
        self._text.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Force the text after the last of the sentences."""
        self._text.follow(event, tokenizer)
        if self._is_done or self._sentences.count() < self.count:
            return None
        self._is_done = True
        return self._text.rewrite(self._sentences.ends[self.count - 1], self.text, actions)


@mod(registered=False)
class InjectAfterReasoning:
    """Forces a text where the model closes its reasoning, once: after the closing tag, or before.

    `inside`: backtracks over the tag, and the model continues its reasoning from the text until it
    closes it again.

    Attributes:
        text (str, at most 8192 characters): The text.
        where ("after" or "inside", default "after"): `after` the closing tag, or `inside` the
            reasoning.
        open_tag (str, 1 to 512 characters, default "<think>"): The tag that opens reasoning, in the
            completion or at the end of the prompt.
        close_tag (str, 1 to 512 characters, default "</think>"): The tag that closes reasoning.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> wait = use(InjectAfterReasoning, text=" Wait.", where="inside")
        >>> play(wait, says="<think>It is 4.</think> It is 5.</think>5").text
        '<think>It is 4. Wait. It is 5.</think>5'
    """

    text: Text
    where: Literal["after", "inside"] = "after"
    open_tag: Phrase = "<think>"
    close_tag: Phrase = "</think>"

    def __init__(self) -> None:
        """Follow the reasoning."""
        self._reasoning = ReasoningSpan(self.open_tag, self.close_tag)
        self._is_done = False

    @property
    def max_backtrack(self) -> int:
        """Tokens that the closing tag may have."""
        return max_backtrack_for([self.close_tag])

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Record if the prompt opened the reasoning."""
        del actions
        self._reasoning.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Force the text at the closing tag."""
        self._reasoning.follow(event, tokenizer)
        closing = self._reasoning.closing
        if self._is_done or closing is None:
            return None
        self._is_done = True
        at = closing.start if self.where == "inside" else closing.end
        return self._reasoning.text.rewrite(at, self.text, actions)
