"""A model that says what a request has it say: at each position one token can be sampled."""

from concordance_sdk import mod


@mod(max_backtrack=0)
class Says:
    """Leaves the tokens of a script only, which are sampled and not forced.

    Attributes:
        script (str): The completion; names of special tokens are the tokens.
    """

    script: str

    def __init__(self):
        self._ids = None

    def forward_pass(self, event, actions, tokenizer):
        """Allow the token of the script at this position, and all tokens after its end."""
        if self._ids is None:
            self._ids = tokenizer.encode(self.script)
        if event.step >= len(self._ids):
            return None
        return actions.adjust_logits(allow=[self._ids[event.step]])
