"""The log-probabilities of a prompt's tokens, for mods that ask for them. No arrays."""

from concordance_sdk.host.request_state import RequestState

#: Tokens of a pass whose logits are computed for them, at most: with 152,000 tokens in the
#: vocabulary, the logits of 128 positions take 78 MB.
MAX_POSITIONS = 128


class PromptLogprobs:
    """One number per token of the prompt, in order; `None` for the first, which follows nothing.

    The logits that follow a prefix of n tokens give the log-probability of token n:

        prompt            a     b     c     d
        entries           None  1st   2nd   3rd
        logits that follow      a     a b   a b c
    """

    def __init__(self, state: RequestState, *, has_reader: bool) -> None:
        """Start without entries.

        Args:
            state: The request.
            has_reader: True if a mod handles the event that has them.
        """
        self._state = state
        self._has_reader = has_reader
        self._entries: list[float | None] = [None]
        self._is_taken = False

    @property
    def is_needed(self) -> bool:
        """True if a mod asked for them and has not received them yet."""
        is_asked = self._state.wants_prompt_logprobs and self._has_reader
        return is_asked and not self._is_taken and not self._state.is_finished

    def logits_needed_from(self) -> int | None:
        """Return the length of the shortest prefix whose following logits are still needed."""
        is_missing = self.is_needed and len(self._entries) < self._state.prompt_len
        return len(self._entries) if is_missing else None

    def add(self, index: int, logprob: float) -> None:
        """Add the entry of token `index` of the prompt, unless it is known."""
        if index == len(self._entries):
            self._entries.append(logprob)

    def take(self) -> tuple[float | None, ...] | None:
        """Return all of them, once; `None` if no mod asked for them."""
        if not self.is_needed:
            return None
        self._is_taken = True
        return tuple(self._entries)
