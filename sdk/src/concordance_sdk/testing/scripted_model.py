"""A model that says what the test wants."""

import functools
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import cast

from concordance_sdk.testing.scripted_logits import ScriptedLogits

#: Token ids; or what is wanted behind a completion: a token id, or scores by token id.
Script = Sequence[int] | Callable[[Sequence[int]], int | Mapping[int, float]]


class ScriptedModel:
    """Wants the tokens of a script, and to end behind them.

    Token i of the script is wanted at position i of the completion, whatever stands before it; or,
    where the model goes on, as its i-th own token, wherever it was interrupted. A function as a
    script is given the completion so far and says the token that it wants, or how much it wants
    each of several.

    Examples:
        >>> model = ScriptedModel(b"Hi", vocab_size=257, eos_id=256)
        >>> model.forward(read=b">", completion_ids=[], num_said=0).top_k(1)
        [(72, 1.0)]
    """

    def __init__(
        self, script: Script, *, vocab_size: int, eos_id: int, goes_on: bool = False
    ) -> None:
        """Make a model.

        Args:
            script: Token ids, or a function of the completion that returns a token id, or scores
                by token id, 0 for all others.
            vocab_size: How many tokens there are.
            eos_id: The token that ends a completion.
            goes_on: Whether the script is counted in the model's own tokens, those that were
                taken back again among them, and not in positions.
        """
        self._script = script
        self._vocab_size = vocab_size
        self._eos_id = eos_id
        self._goes_on = goes_on
        self.reads: list[tuple[int, ...]] = []  # what each forward pass read

    def forward(
        self, read: Sequence[int], completion_ids: Sequence[int], num_said: int
    ) -> ScriptedLogits:
        """Read tokens; return the scores of the next position: 1 for the wanted token, else 0.

        Args:
            read: The tokens that the cache does not hold.
            completion_ids: The completion so far.
            num_said: How many tokens were sampled and added so far.

        Raises:
            TypeError: The script says neither a token id nor scores by token id.
            IndexError: It says a token outside the vocabulary.
        """
        self.reads.append(tuple(read))
        position = num_said if self._goes_on else len(completion_ids)
        wanted = self._wanted(completion_ids, position)
        _check(wanted, position)
        if isinstance(wanted, Mapping):
            return ScriptedLogits(wanted, vocab_size=self._vocab_size)
        return _wanting(wanted, self._vocab_size)

    def _wanted(self, completion_ids: Sequence[int], position: int) -> int | Mapping[int, float]:
        if callable(self._script):
            return self._script(completion_ids)
        return self._script[position] if position < len(self._script) else self._eos_id


def _check(wanted: object, position: int) -> None:
    """Refuse what a script cannot say, where it says it."""
    scores = cast(Mapping[object, object], wanted) if isinstance(wanted, Mapping) else {wanted: 0}
    for token_id, score in scores.items():
        if not isinstance(token_id, Integral) or not isinstance(score, Real):
            raise TypeError(
                f"the script says {wanted!r:.60} at position {position}; it may say a token id, or "
                "scores by token id"
            )


@functools.lru_cache(256)
def _wanting(token_id: int, vocab_size: int) -> ScriptedLogits:
    """The row that wants one token; rows do not change, so requests share it.  (vocab,)"""
    return ScriptedLogits({token_id: 1.0}, vocab_size=vocab_size)
