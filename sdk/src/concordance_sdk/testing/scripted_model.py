"""A model whose tokens are given by a script."""

import functools
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import cast

from concordance_sdk.testing.scripted_logits import ScriptedLogits

#: Token ids; or a function of the completion that returns a token id, or logits by token id.
Script = Sequence[int] | Callable[[Sequence[int]], int | Mapping[int, float]]


class ScriptedModel:
    """Gives the top logit to the tokens of a script, followed by end of sequence.

    Token i of the script is for position i of the completion, whatever precedes it. If the model
    `resumes`, token i is its i-th own token, wherever it was interrupted. A function as a script is
    called with the completion so far.

    Examples:
        >>> model = ScriptedModel(b"Hi", vocab_size=257, eos_id=256)
        >>> model.forward(read=b">", completion_ids=[], num_generated=0).top_k(1)
        [(72, 1.0)]
    """

    def __init__(
        self, script: Script, *, vocab_size: int, eos_id: int, resumes: bool = False
    ) -> None:
        """Create a model.

        Args:
            script: Token ids, or a function of the completion that returns a token id, or logits
                by token id, 0 for all others.
            vocab_size: The size of the vocabulary.
            eos_id: The end-of-sequence token.
            resumes: True if the script counts the model's own tokens, including backtracked ones;
                False if it counts positions.
        """
        self._script = script
        self._vocab_size = vocab_size
        self._eos_id = eos_id
        self._resumes = resumes
        self.reads: list[tuple[int, ...]] = []  # the tokens that each forward pass processed

    def forward(
        self, read: Sequence[int], completion_ids: Sequence[int], num_generated: int
    ) -> ScriptedLogits:
        """Process tokens; return the next logits: 1 for the token of the script, 0 for all others.

        Args:
            read: The tokens that are not in the cache.
            completion_ids: The completion so far.
            num_generated: The number of sampled tokens added so far, including backtracked ones.

        Raises:
            TypeError: The script returns neither a token id nor logits by token id.
            IndexError: It returns a token outside the vocabulary.
        """
        self.reads.append(tuple(read))
        position = num_generated if self._resumes else len(completion_ids)
        scripted = self._scripted(completion_ids, position)
        _check(scripted, position)
        if isinstance(scripted, Mapping):
            return ScriptedLogits(scripted, vocab_size=self._vocab_size)
        return _one_hot(scripted, self._vocab_size)

    def _scripted(self, completion_ids: Sequence[int], position: int) -> int | Mapping[int, float]:
        if callable(self._script):
            return self._script(completion_ids)
        return self._script[position] if position < len(self._script) else self._eos_id


def _check(scripted: object, position: int) -> None:
    """Reject invalid output of a script."""
    logits = (
        cast(Mapping[object, object], scripted) if isinstance(scripted, Mapping) else {scripted: 0}
    )
    for token_id, logit in logits.items():
        if not isinstance(token_id, Integral) or not isinstance(logit, Real):
            raise TypeError(
                f"the script returns {scripted!r:.60} at position {position} instead of a token id "
                "or logits by token id"
            )


@functools.lru_cache(256)
def _one_hot(token_id: int, vocab_size: int) -> ScriptedLogits:
    """Return the logits for one token; immutable, so requests share them.  (vocab,)"""
    return ScriptedLogits({token_id: 1.0}, vocab_size=vocab_size)
