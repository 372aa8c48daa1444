"""Words whose tokens get a logit bias."""

from concordance_shared import Action, Added, ForwardPass

from concordance_sdk.action_builder import Actions
from concordance_sdk.builtin.parameters import Phrases
from concordance_sdk.mod import mod
from concordance_sdk.text.word_bias import WordBias
from concordance_sdk.tokenizer import Tokenizer


@mod(max_backtrack=0, logits="none", registered=False)
class BiasWords:
    """Makes words more or less probable, wherever the model could write them.

    Attributes:
        words (list of 1 to 256 str, each 1 to 512 characters): The words or phrases.
        strength (float, default 2.0): The bias of a token's logit, in nats; negative for less
            probable. 2 multiplies the odds by 7; 10 almost forces the word.

    Examples:
        >>> from concordance_sdk import use
        >>> from concordance_sdk.testing import play
        >>> play(use(BiasWords, words=["yes"], strength=0.5), says="ye").text
        'ye'
    """

    words: Phrases
    strength: float = 2.0

    def __init__(self) -> None:
        """Follow the completion's tokens."""
        self._bias = WordBias(self.words, strength=self.strength)
        self._token_ids: list[int] = []

    def added(self, event: Added, actions: Actions) -> None:
        """Record the tokens."""
        del actions
        self._token_ids[event.step :] = event.added_tokens

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Bias the logits of the tokens that lead to the words."""
        del self._token_ids[event.step :]
        bias = self._bias.after(self._token_ids, tokenizer)
        return actions.adjust_logits(bias=bias) if bias else None
