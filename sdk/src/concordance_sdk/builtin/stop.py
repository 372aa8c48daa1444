"""Ends the completion: at a phrase, or after some sentences."""

from concordance_shared import Action, Added, Prefilled

from concordance_sdk.action_builder import Actions
from concordance_sdk.builtin.hold import hold_for
from concordance_sdk.builtin.parameters import Count, Phrases
from concordance_sdk.composition import ModUse
from concordance_sdk.mod import mod
from concordance_sdk.text.completion_text import CompletionText
from concordance_sdk.text.phrases import PhraseWatch
from concordance_sdk.text.sentences import SentenceCount
from concordance_sdk.tokenizer import Tokenizer


@mod(max_backtrack=32, registered=False)
class StopAt:
    """Ends the completion where a phrase appears.

    Attributes:
        phrases: The phrases; the first that appears ends it.
        keeps_phrase: Whether the phrase itself stays.
        ignore_case: Whether `END` is `end`.
        whole_words: Whether `end` may stand in `endless`.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(StopAt, phrases=["###"]), script="answer ### and more").text
        'answer '
    """

    phrases: Phrases
    keeps_phrase: bool = False
    ignore_case: bool = False
    whole_words: bool = False

    def __init__(self) -> None:
        """Begin with an empty completion."""
        self._text = CompletionText()
        self._watch = PhraseWatch(
            self._text, self.phrases, ignore_case=self.ignore_case, whole_words=self.whole_words
        )

    def mods(self) -> list[ModUse]:
        """Have a stream hold back what the phrases may have."""
        return hold_for(self.phrases)

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Learn the budget, at which a word at the end is whole."""
        del actions
        self._text.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Look for the phrases in what is new."""
        self._text.follow(event, tokenizer)
        match = self._watch.find()
        if match is None:
            return None
        return self._text.end(match.end if self.keeps_phrase else match.start, actions)


@mod(max_backtrack=16, registered=False)
class StopAfterSentences:
    """Ends the completion after a number of sentences.

    Where a sentence ends is known when the next begins: what was said of that is taken back.

    Attributes:
        count: How many sentences.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(StopAfterSentences, count=2), script="It is 3.5 km. Not far! Go on.").text
        'It is 3.5 km. Not far!'
    """

    count: Count = 1

    def __init__(self) -> None:
        """Begin with an empty completion."""
        self._text = CompletionText()
        self._sentences = SentenceCount(self._text)

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Learn the budget, at which the last sentence ends."""
        del actions
        self._text.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Count the sentences, and end behind the one that makes them enough."""
        self._text.follow(event, tokenizer)
        if self._text.is_final or self._sentences.count() < self.count:
            return None
        return self._text.end(self._sentences.ends[self.count - 1], actions)
