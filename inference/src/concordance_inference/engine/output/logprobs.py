"""The logprobs of one completion, as far as they are known. No arrays."""

from math import fsum

import msgspec
from concordance_sdk.host.request_state import RequestState

from concordance_inference.generation import TokenLogprobs


class CompletionLogprobs:
    """One entry per token of the completion, from the first on and without gaps.

    The tokens of a beginning that was given with the prompt have none.

    An entry is valid as long as its token and all tokens before it are unchanged.
    """

    def __init__(self, state: RequestState, num_top: int) -> None:
        """Start without entries.

        Args:
            state: The request.
            num_top: Number of alternatives reported per token.
        """
        self.num_top = num_top
        self._state = state
        self._begin = state.num_given  # the token of the first entry
        self._entries: list[TokenLogprobs] = []
        self._num_edits = 0
        self._num_sent = 0
        self._num_taken = 0  # by `take_new`

    @property
    def num_known(self) -> int:
        """Number of leading tokens of the completion that have an entry."""
        if self._state.num_edits != self._num_edits:
            self._num_edits = self._state.num_edits
            self._drop_changed()
        return self._begin + len(self._entries)

    def _drop_changed(self) -> None:
        """Drop the entries from the first changed token on."""
        completion_ids = self._state.completion_ids
        lowest_cut = self._state.edits.take_lowest_cut()
        begin = self._begin
        for i, entry in enumerate(self._entries, begin):
            if i >= len(completion_ids) or completion_ids[i] != entry.token_id:
                del self._entries[i - begin :]
                self._num_taken = min(self._num_taken, i - begin)
                return
            if i >= lowest_cut and entry.sampled_logprob is not None:
                # The same token, but forced, or sampled in front of others that were removed.
                self._entries[i - begin] = msgspec.structs.replace(entry, sampled_logprob=None)

    def add(self, index: int, entry: TokenLogprobs) -> None:
        """Add the entry of token `index`, unless it is known or the token has changed."""
        state, position = self._state, self._state.prompt_len + index
        if self.num_known != index or position >= len(state.token_ids):
            return
        if state.token_ids[position] == entry.token_id:
            # The batch computes as many alternatives as any of its rows requested.
            top = entry.top[: self.num_top]
            sampled = None if state.forced[index] else entry.sampled_logprob
            kept = msgspec.structs.replace(entry, top=top, sampled_logprob=sampled, rank=None)
            self._entries.append(kept)

    def take_unsent(self, num_tokens: int) -> tuple[TokenLogprobs, ...]:
        """Return the entries of the first `num_tokens` tokens that were not returned before.

        As everywhere, the tokens of the completion's beginning count, and have no entry.
        """
        sent, self._num_sent = self._num_sent, max(self._num_sent, num_tokens - self._begin)
        return tuple(self._entries[sent : self._num_sent])

    def take_new(self) -> tuple[int, tuple[TokenLogprobs, ...]]:
        """Return the entries that are new or changed, and the index of the first one's token.

        Tokens count from the end of the completion's beginning, as in `TokensDelta`.
        """
        known = self.num_known - self._begin
        first, self._num_taken = self._num_taken, known
        return first, tuple(self._entries[first:known])

    def mean(self) -> float | None:
        """Return the mean log-probability of the tokens; `None` without tokens."""
        if not self._entries:
            return None
        return fsum(entry.logprob for entry in self._entries) / len(self._entries)

    def all(self) -> tuple[TokenLogprobs, ...]:
        """Return every entry."""
        return tuple(self._entries)
