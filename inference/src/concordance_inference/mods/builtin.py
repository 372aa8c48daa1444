"""Four small mods that come with the engine: each shows one thing that a mod can do."""

from concordance_sdk import Action, Actions, Added, ForwardPass, Prefilled, Tokenizer, mod
from concordance_sdk.ready import InjectAtStart, StopAfterSentences
from concordance_sdk.ready import Replace as ReplaceAnywhere
from concordance_sdk.text import PhraseBan


@mod(max_backtrack=0)
class Greeting(InjectAtStart):
    """Every answer starts with a greeting: forces tokens instead of sampling them."""

    text: str = "Ahoy!"


@mod(max_backtrack=32)
class Replace(ReplaceAnywhere):
    """Replaces a phrase wherever it appears: takes tokens back and puts others there."""


@mod(max_backtrack=32, logits="none")
class Avoid:
    """Never says a word: takes it back when it appears, and does not begin it there again."""

    word: str

    def __init__(self) -> None:
        """Begin with an empty completion."""
        self._ban = PhraseBan([self.word])

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Learn the budget, at which a word at the end is whole."""
        del actions
        self._ban.text.follow(event, tokenizer)

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Mask what began the word at this position before."""
        return self._ban.mask(event, actions, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Take the word back when it has become complete."""
        return self._ban.take_back(event, actions, tokenizer)


@mod(max_backtrack=16)
class Sentences(StopAfterSentences):
    """Ends the answer after a number of sentences: forces the end-of-sequence token."""
