"""Never says some words: takes one back when it appears, and does not begin it there again."""

from collections.abc import Sequence

from concordance_shared import Action, Added, ForwardPass, Prefilled

from concordance_sdk.action_builder import Actions
from concordance_sdk.builtin.hold import hold_for
from concordance_sdk.builtin.parameters import Phrases
from concordance_sdk.composition import ModUse
from concordance_sdk.mod import mod
from concordance_sdk.text.phrase_ban import PhraseBan
from concordance_sdk.tokenizer import Tokenizer


class BansPhrases:
    """The answers to events that all mods have in common which ban phrases."""

    def __init__(
        self, phrases: Sequence[str], *, ignore_case: bool = True, whole_words: bool = True
    ) -> None:
        """Ban phrases from one completion; the arguments are those of a `PhraseBan`."""
        self._phrases = phrases
        self._ban = PhraseBan(phrases, ignore_case=ignore_case, whole_words=whole_words)

    def mods(self) -> list[ModUse]:
        """Have a stream hold back what the phrases may have."""
        return hold_for(self._phrases)

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Learn the budget, at which a word at the end is whole."""
        del actions
        self._ban.text.follow(event, tokenizer)

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Mask what began a word at this position before."""
        return self._ban.mask(event, actions, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Take a word back that has become complete."""
        return self._ban.take_back(event, actions, tokenizer)


@mod(max_backtrack=32, logits="none", registered=False)
class Avoid(BansPhrases):
    """Never says some words or phrases.

    Attributes:
        words: The words or phrases.
        ignore_case: Whether `Red` is `red`.
        whole_words: Whether `red` may stand in `reduce`.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> played = play(use(Avoid, words=["red", "blue"]), script="a red hat")
        >>> "red" in played.text, played.num_backtracked > 0
        (False, True)
    """

    words: Phrases
    ignore_case: bool = True
    whole_words: bool = True

    def __init__(self) -> None:
        """Begin with an empty completion."""
        super().__init__(self.words, ignore_case=self.ignore_case, whole_words=self.whole_words)
