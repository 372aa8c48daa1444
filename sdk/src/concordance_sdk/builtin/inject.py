"""Puts a text into the completion, once: at its start, or when it has come to a certain point."""

from typing import Annotated, Literal

from concordance_shared import Action, Added, ForwardPass, Prefilled
from msgspec import Meta

from concordance_sdk.action_builder import Actions
from concordance_sdk.builtin.hold import hold_for
from concordance_sdk.builtin.parameters import Count, Phrase, Text
from concordance_sdk.composition import ModUse
from concordance_sdk.exclusive import may_write
from concordance_sdk.mod import mod
from concordance_sdk.text.completion_text import CompletionText
from concordance_sdk.text.reasoning import ReasoningSpan
from concordance_sdk.text.sentences import SentenceCount
from concordance_sdk.tokenizer import Tokenizer


@mod(max_backtrack=0, logits="none", registered=False)
class InjectAtStart:
    """Begins the completion with a text.

    Mods that are listed before it come first: it stands behind what they force at the start, and
    behind the answer of a constraint, a self-prompt or a flow that has begun.

    Attributes:
        text: What it begins with.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(InjectAtStart, text="Hi, "), says="you").text
        'Hi, you'
    """

    text: Text

    def __init__(self) -> None:
        """Begin with nothing injected."""
        self._is_done = False
        self._token_ids: list[int] | None = None

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Tokenize the text while nobody waits for it."""
        self._token_ids = tokenizer.encode(self.text)

    def is_writing(self, step: int) -> bool:
        """Nobody waits for it: it writes all that it has to say at once."""
        del step
        return False

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Put the text before all that is decided at the first position that is its to decide."""
        if self._is_done or not self.text:
            return None
        if not may_write(self, event.request_id, event.step):
            return None
        self._is_done = True
        token_ids = self._token_ids
        return actions.force_tokens(tokenizer.encode(self.text) if token_ids is None else token_ids)


@mod(max_backtrack=0, registered=False)
class InjectAfterTokens:
    """Puts a text behind so many tokens of the completion, unless it ended before.

    Where those end in half a character, it waits for the rest of it.

    Attributes:
        text: What is put there.
        count: Behind how many tokens.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(InjectAfterTokens, text="[3]", count=3), says="abcde").text
        'abc[3]de'
    """

    text: Text
    count: Annotated[int, Meta(ge=0)]

    def __init__(self) -> None:
        """Begin with an empty completion."""
        self._text = CompletionText()
        self._is_done = False

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Count the tokens, and inject behind those just added if they are enough."""
        text = self._text
        text.follow(event, tokenizer)
        is_due = len(text.token_ids) >= self.count and text.is_whole and not text.is_final
        if self._is_done or not is_due:
            return None
        self._is_done = True
        return actions.force_tokens(text.encode(self.text))


@mod(max_backtrack=16, registered=False)
class InjectAfterSentences:
    """Puts a text behind the first sentences of the completion.

    Where a sentence ends is known when the next begins: what was said of that is taken back.

    Attributes:
        text: What is put there; it begins with a space if it is to stand apart.
        count: Behind how many sentences.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(InjectAfterSentences, text=" Look:"), says="One. Two. Three.").text
        'One. Look:Two. Three.'
    """

    text: Text
    count: Count = 1

    def __init__(self) -> None:
        """Begin with an empty completion."""
        self._text = CompletionText()
        self._sentences = SentenceCount(self._text)
        self._is_done = False

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Learn the budget, at which the last sentence ends."""
        del actions
        self._text.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Count the sentences, and inject behind the one that makes them enough."""
        self._text.follow(event, tokenizer)
        if self._is_done or self._sentences.count() < self.count:
            return None
        self._is_done = True
        return self._text.rewrite(self._sentences.ends[self.count - 1], self.text, actions)


@mod(max_backtrack=32, registered=False)
class InjectAfterReasoning:
    """Puts a text where the model ends its reasoning: behind the tag, or in front of it.

    In front of it, the tag is taken back and the model goes on reasoning from the text, until it
    ends it again.

    Attributes:
        text: What is put there.
        where: `behind` the closing tag, or `inside` the reasoning.
        open_tag: What begins reasoning, in the completion or at the end of the prompt.
        close_tag: What ends it.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> wait = use(InjectAfterReasoning, text=" Wait.", where="inside")
        >>> play(wait, says="<think>It is 4.</think> It is 5.</think>5").text
        '<think>It is 4. Wait. It is 5.</think>5'
    """

    text: Text
    where: Literal["behind", "inside"] = "behind"
    open_tag: Phrase = "<think>"
    close_tag: Phrase = "</think>"

    def __init__(self) -> None:
        """Begin with no reasoning."""
        self._reasoning = ReasoningSpan(self.open_tag, self.close_tag)
        self._is_done = False

    def mods(self) -> list[ModUse]:
        """Have a stream hold back what the closing tag may have."""
        return hold_for([self.close_tag])

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Learn whether the prompt opened the reasoning."""
        del actions
        self._reasoning.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Wait for the closing tag, and inject there."""
        self._reasoning.follow(event, tokenizer)
        closing = self._reasoning.closing
        if self._is_done or closing is None:
            return None
        self._is_done = True
        at = closing.start if self.where == "inside" else closing.end
        return self._reasoning.text.rewrite(at, self.text, actions)
