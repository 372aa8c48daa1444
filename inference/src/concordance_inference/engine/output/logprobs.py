"""The log-probabilities of one completion's tokens, as far as they are known. No arrays."""

from collections.abc import Sequence

import msgspec

from concordance_inference.generation import TokenLogprobs


class CompletionLogprobs:
    """One entry for each token from the first on, without gaps.

    An entry holds as long as its token and all before it stand.
    """

    def __init__(self, num_top: int) -> None:
        """Begin empty.

        Args:
            num_top: How many alternatives are told of each token.
        """
        self.num_top = num_top
        self._entries: list[TokenLogprobs] = []
        self._edits = 0
        self._num_told = 0

    @property
    def num_known(self) -> int:
        """How many tokens have an entry."""
        return len(self._entries)

    def follow(self, completion_ids: Sequence[int], edits: int) -> None:
        """Drop the entries of tokens that do not stand any more.

        Args:
            completion_ids: The completion.
            edits: Goes up whenever it changed otherwise than by a sampled token.
        """
        if edits == self._edits:
            return
        self._edits = edits
        for i, entry in enumerate(self._entries):
            if i >= len(completion_ids) or completion_ids[i] != entry.token_id:
                del self._entries[i:]
                return

    def add(self, entry: TokenLogprobs) -> None:
        """Take the entry of the first token that has none."""
        top = entry.top[: self.num_top]  # others in the batch may have asked for more
        self._entries.append(msgspec.structs.replace(entry, top=top))

    def untold(self, num_tokens: int) -> tuple[TokenLogprobs, ...]:
        """The entries of the first `num_tokens` tokens that were not given before."""
        told, self._num_told = self._num_told, max(self._num_told, num_tokens)
        return tuple(self._entries[told : self._num_told])

    def all(self) -> tuple[TokenLogprobs, ...]:
        """Every entry."""
        return tuple(self._entries)
