"""The log-probabilities of a prompt's tokens, for mods and clients. No arrays."""

import msgspec
from concordance_sdk.host.request_state import RequestState
from concordance_shared import FinishReason

from concordance_inference.generation import TokenLogprobs

#: Tokens of a pass whose logits are computed for them, at most: with 152,000 tokens in the
#: vocabulary, the logits of 128 positions take 78 MB.
MAX_POSITIONS = 128

#: Ends for which the client receives them.
_NEEDED = (None, FinishReason.STOP, FinishReason.LENGTH, FinishReason.TOOL_CALLS)


class PromptLogprobs:
    """One entry per token of the prompt, in order; `None` for the first, which follows nothing.

    The logits that follow a prefix of n tokens give the log-probability of token n:

        prompt            a     b     c     d
        entries           None  1st   2nd   3rd
        logits that follow      a     a b   a b c
    """

    def __init__(
        self, state: RequestState, *, has_reader: bool, num_top: int | None = None
    ) -> None:
        """Start without entries.

        Args:
            state: The request.
            has_reader: True if a mod handles the event that has them.
            num_top: Alternatives a token, for the client; `None` if it asked for none of this.
        """
        self._state = state
        self._has_reader = has_reader
        self._num_top = num_top
        self._entries: list[TokenLogprobs | None] = [None]
        self._is_taken = False

    @property
    def is_needed(self) -> bool:
        """True if a mod or the client asked for them and has not received them yet."""
        return self._is_awaited or self.is_missing

    @property
    def _is_awaited(self) -> bool:
        """True if a mod asked for them and has not received them yet."""
        is_asked = self._state.wants_prompt_logprobs and self._has_reader
        return is_asked and not self._is_taken and not self._state.is_finished

    @property
    def is_missing(self) -> bool:
        """True if the client asked for them and not all are known."""
        if self._num_top is None or self._state.finish_reason not in _NEEDED:
            return False
        return len(self._entries) < self._state.prompt_len

    def logits_needed_from(self) -> int | None:
        """Return the length of the shortest prefix whose following logits are still needed."""
        is_missing = self.is_needed and len(self._entries) < self._state.prompt_len
        return len(self._entries) if is_missing else None

    def add(self, index: int, entry: TokenLogprobs) -> None:
        """Add the entry of token `index` of the prompt, unless it is known."""
        if index == len(self._entries):
            # The pass computes as many alternatives as any of its rows requested.
            top = entry.top[: self._num_top or 0]
            self._entries.append(msgspec.structs.replace(entry, top=top))

    def take(self) -> tuple[float | None, ...] | None:
        """Return the numbers of all, once; `None` if no mod asked for them."""
        if not self._is_awaited:
            return None
        self._is_taken = True
        return tuple(entry and entry.logprob for entry in self._entries)

    def requested(self) -> tuple[TokenLogprobs | None, ...] | None:
        """Return the entries for the client, none unless it asked; `None` while some lack."""
        if self.is_missing:
            return None
        return () if self._num_top is None else tuple(self._entries)
