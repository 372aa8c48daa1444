"""Makes some words likelier, or less likely, wherever they could be said."""

from concordance_shared import Action, Added, ForwardPass

from concordance_sdk.action_builder import Actions
from concordance_sdk.builtin.parameters import Phrases
from concordance_sdk.mod import mod
from concordance_sdk.text.word_bias import WordBias
from concordance_sdk.tokenizer import Tokenizer


@mod(max_backtrack=0, logits="none", registered=False)
class BiasWords:
    """Makes words likelier, or less likely.

    Attributes:
        words: The words or phrases.
        strength: What is added to a token's score, in nats; negative steers away. 2 is a nudge,
            10 all but forces.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(BiasWords, words=["yes"], strength=0.5), says="ye").text
        'ye'
    """

    words: Phrases
    strength: float = 2.0

    def __init__(self) -> None:
        """Begin with an empty completion."""
        self._bias = WordBias(self.words, strength=self.strength)
        self._token_ids: list[int] = []

    def added(self, event: Added, actions: Actions) -> None:
        """Keep the completion."""
        del actions
        self._token_ids[event.step :] = event.added_tokens

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Add to the scores of the tokens that lead to the words."""
        del self._token_ids[event.step :]
        bias = self._bias.after(self._token_ids, tokenizer)
        return actions.adjust_logits(bias=bias) if bias else None
