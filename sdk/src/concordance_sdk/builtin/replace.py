"""Replaces a phrase wherever it appears: takes tokens back and puts others there."""

from concordance_shared import Action, Added, Prefilled

from concordance_sdk.action_builder import Actions
from concordance_sdk.builtin.hold import hold_for
from concordance_sdk.builtin.parameters import Phrase, Text
from concordance_sdk.composition import ModUse
from concordance_sdk.mod import mod
from concordance_sdk.text.completion_text import CompletionText
from concordance_sdk.text.phrases import PhraseWatch
from concordance_sdk.tokenizer import Tokenizer


@mod(max_backtrack=32, registered=False)
class Replace:
    """Replaces a phrase wherever it appears.

    What the model says behind it, it says having read the replacement.

    Attributes:
        find: The phrase.
        replacement: What stands in its place.
        ignore_case: Whether `paris` is `Paris`.
        whole_words: Whether `Paris` may stand in `Parisian`.

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
        """Begin with an empty completion."""
        self._text = CompletionText()
        self._watch = PhraseWatch(
            self._text, self.find, ignore_case=self.ignore_case, whole_words=self.whole_words
        )

    def mods(self) -> list[ModUse]:
        """Have a stream hold back what the phrase may have."""
        return hold_for([self.find])

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Learn the budget, at which a word at the end is whole."""
        del actions
        self._text.follow(event, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Look for the phrase in what is new."""
        self._text.follow(event, tokenizer)
        match = self._watch.find()
        return self._watch.replace(match, self.replacement, actions) if match else None
