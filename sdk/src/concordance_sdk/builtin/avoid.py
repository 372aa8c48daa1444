"""Words that never appear in the completion."""

from concordance_sdk.builtin.parameters import Phrases
from concordance_sdk.mod import mod
from concordance_sdk.text.phrase_ban import PhraseBan


@mod(max_backtrack=32, logits="none", registered=False)
class Avoid:
    """Bans words or phrases: backtracks over one when it appears, and masks how it began.

    Attributes:
        words (list of 1 to 256 str, each 1 to 512 characters): The words or phrases.
        ignore_case (bool, default True): True if `red` also bans `Red`.
        whole_words (bool, default True): True if `red` is allowed inside `reduce`.

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

    def parts(self) -> list[PhraseBan]:
        """The ban."""
        return [PhraseBan(self.words, ignore_case=self.ignore_case, whole_words=self.whole_words)]
