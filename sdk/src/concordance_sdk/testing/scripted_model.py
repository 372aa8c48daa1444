"""A model that says what the test wants, position by position."""

from collections.abc import Callable, Sequence

from concordance_sdk.testing.scripted_logits import ScriptedLogits

Script = Sequence[int] | Callable[[Sequence[int]], int]


class ScriptedModel:
    """Wants token i of a script at position i of the completion, whatever stands before it.

    A function as a script is given the completion so far and says the token that it wants. Behind
    the end of a script the model wants to end.
    """

    def __init__(self, script: Script, *, vocab_size: int, eos_id: int) -> None:
        """Make a model.

        Args:
            script: Token ids, or a function of the completion.
            vocab_size: How many tokens there are.
            eos_id: The token that ends a completion.
        """
        self._script = script
        self._vocab_size = vocab_size
        self._eos_id = eos_id
        self.reads: list[tuple[int, ...]] = []  # what each forward pass read

    def forward(self, read: Sequence[int], completion_ids: Sequence[int]) -> ScriptedLogits:
        """Read tokens; return the scores of the next position: 1 for the wanted token, else 0."""
        self.reads.append(tuple(read))
        return ScriptedLogits({self._wanted(completion_ids): 1.0}, vocab_size=self._vocab_size)

    def _wanted(self, completion_ids: Sequence[int]) -> int:
        if callable(self._script):
            return self._script(completion_ids)
        position = len(completion_ids)
        return self._script[position] if position < len(self._script) else self._eos_id
