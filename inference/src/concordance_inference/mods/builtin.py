"""Four small mods that come with the engine: each shows one thing that a mod can do."""

from concordance_sdk import mod
from concordance_sdk.builtin import InjectAtStart, StopAfterSentences
from concordance_sdk.builtin import Replace as ReplaceAnywhere
from concordance_sdk.builtin.avoid import BansPhrases
from concordance_sdk.builtin.parameters import Phrase, Text


@mod(max_backtrack=0, logits="none")
class Greeting(InjectAtStart):
    """Every answer starts with a greeting: forces tokens instead of sampling them."""

    text: Text = "Ahoy!"


@mod(max_backtrack=32)
class Replace(ReplaceAnywhere):
    """Replaces a phrase wherever it appears: takes tokens back and puts others there."""


@mod(max_backtrack=32, logits="none")
class Avoid(BansPhrases):
    """Never says a word: takes it back when it appears, and does not begin it there again."""

    word: Phrase

    def __init__(self) -> None:
        """Begin with an empty completion."""
        super().__init__([self.word])


@mod(max_backtrack=16)
class Sentences(StopAfterSentences):
    """Ends the answer after a number of sentences: forces the end-of-sequence token."""
