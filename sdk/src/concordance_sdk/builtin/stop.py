"""Completions that end at a phrase, or after a number of sentences."""

from concordance_shared import Action, Added, Prefilled

from concordance_sdk.action_builder import Actions
from concordance_sdk.builtin.parameters import Count, Phrases
from concordance_sdk.mod import mod
from concordance_sdk.text.completion_text import CompletionText
from concordance_sdk.text.phrases import PhraseWatch, max_backtrack_for
from concordance_sdk.text.sentences import SentenceCount
from concordance_sdk.tokenizer import Tokenizer


@mod(registered=False)
class StopAt:
    """Ends the completion where a phrase appears.

    Attributes:
        phrases (list of 1 to 256 str, each 1 to 512 characters): The phrases; the first that
            appears ends the completion.
        keeps_phrase (bool, default False): True if the phrase stays in the completion.
        ignore_case (bool, default False): True if `END` also matches `end`.
        whole_words (bool, default False): False if `end` also matches inside `endless`.

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
        """Watch the completion for the phrases."""
        self._text = CompletionText()
        self._watch = PhraseWatch(
            self._text, self.phrases, ignore_case=self.ignore_case, whole_words=self.whole_words
        )

    @property
    def max_backtrack(self) -> int:
        """Tokens that the longest phrase may have."""
        return max_backtrack_for(self.phrases)

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Record the token budget, at which a word at the end is complete."""
        del actions
        self._text.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """End the completion if a phrase is now complete."""
        self._text.follow(event, tokenizer)
        match = self._watch.find()
        if match is None:
            return None
        return self._text.end(match.end if self.keeps_phrase else match.start, actions)


@mod(max_backtrack=16, registered=False)
class StopAfterSentences:
    """Ends the completion after a number of sentences.

    The end of a sentence is known when the next one begins, which is then backtracked over.

    Attributes:
        count (int, at least 1, default 1): The number of sentences.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(StopAfterSentences, count=2), script="It is 3.5 km. Not far! Go on.").text
        'It is 3.5 km. Not far!'
    """

    count: Count = 1

    def __init__(self) -> None:
        """Count the sentences of the completion."""
        self._text = CompletionText()
        self._sentences = SentenceCount(self._text)

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Record the token budget, at which the last sentence ends."""
        del actions
        self._text.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """End the completion after the last of the sentences."""
        self._text.follow(event, tokenizer)
        if self._text.is_final or self._sentences.count() < self.count:
            return None
        return self._text.end(self._sentences.ends[self.count - 1], actions)
