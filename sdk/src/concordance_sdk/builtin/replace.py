"""A phrase that is replaced wherever it appears."""

from concordance_shared import Action, Added, Prefilled

from concordance_sdk.action_builder import Actions
from concordance_sdk.builtin.parameters import Phrase, Text
from concordance_sdk.mod import mod
from concordance_sdk.text.completion_text import CompletionText
from concordance_sdk.text.phrases import PhraseWatch, max_backtrack_for
from concordance_sdk.tokenizer import Tokenizer


@mod(registered=False)
class Replace:
    """Replaces a phrase wherever it appears: backtracks over it and forces other tokens.

    The model continues from the replacement.

    Attributes:
        find (str, 1 to 512 characters): The phrase.
        replacement (str, at most 8192 characters): The text that replaces it; it is not searched
            again.
        ignore_case (bool, default False): True if `Paris` also matches `paris`.
        whole_words (bool, default False): False if `Paris` also matches inside `Parisian`.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(Replace, find="Paris", replacement="Lyon"), says="In Paris, in Paris.").text
        'In Lyon, in Lyon.'
    """

    find: Phrase
    replacement: Text
    ignore_case: bool = False
    whole_words: bool = False

    def __init__(self) -> None:
        """Watch the completion for the phrase."""
        self._text = CompletionText()
        self._watch = PhraseWatch(
            self._text, self.find, ignore_case=self.ignore_case, whole_words=self.whole_words
        )

    @property
    def max_backtrack(self) -> int:
        """Tokens that the phrase may have."""
        return max_backtrack_for([self.find])

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Record the token budget, at which a word at the end is complete."""
        del actions
        self._text.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Replace the phrase if it is now complete."""
        self._text.follow(event, tokenizer)
        match = self._watch.find()
        return self._watch.replace(match, self.replacement, actions) if match else None
