"""Puts the sampled tokens of assistant messages into the tokens of a prompt."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from concordance_inference.caller import current_prefix_space
from concordance_inference.chat.sampled_calls import SampledCalls
from concordance_inference.chat.sampled_messages import PromptDigest, SampledMessages


class Splice:
    """Puts the sampled tokens of messages into the tokens of a whole prompt.

    Only tokens that lie within a message are replaced, and only by tokens of the same bytes. Where
    a token covers a message's border, the tokens of the whole text remain.
    """

    def __init__(
        self,
        token_ids: Sequence[int],
        begins: Sequence[int],
        data_of: Callable[[Sequence[int]], bytes],
        calls: SampledCalls,
    ) -> None:
        """Start with the tokens of a whole prompt.

        Args:
            token_ids: The tokens.
            begins: Per token: the character of the text at which it begins.
            data_of: The bytes that tokens add after others.
            calls: The messages with calls whose sampled tokens are kept.
        """
        self._calls = calls
        self._token_ids = token_ids
        self._begins = begins
        self._data_of = data_of
        self._prompt = PromptDigest(space=current_prefix_space())
        self._spliced: list[int] = []
        self._num_done = 0  # tokens of the whole prompt

    def add(self, messages: SampledMessages, text: str, begin: int) -> None:
        """Continue to the end of a message.

        Args:
            messages: The messages whose sampled tokens are kept.
            text: The message.
            begin: The character of the whole text at which it begins.
        """
        self._own(bisect_left(self._begins, begin, lo=self._num_done))
        first = self._num_done
        last = bisect_left(self._begins, begin + len(text), lo=first)
        if first < len(self._begins) and self._begins[first] > begin:  # calls cover it
            return
        if self._with_calls():
            return
        own = self._token_ids[first:last]
        sampled = messages.recall(self._prompt, text)
        is_same = sampled is not None and self._data_of(sampled) == self._data_of(own)
        self._append(sampled if sampled is not None and is_same else own)
        self._num_done = last

    def end(self) -> list[int]:
        """Return the tokens of the prompt with the sampled ones in place."""
        self._own(len(self._token_ids))
        return self._spliced

    def _own(self, end: int) -> None:
        """Continue to a token of the whole prompt, and over calls that begin before it."""
        while self._num_done < end:
            num_left = end - self._num_done
            length = len(self._spliced)
            following = self._calls.lengths(length, length + num_left)
            for prompt_length in following:
                self._append_own(self._num_done + prompt_length - len(self._spliced))
                if self._with_calls():
                    break  # the lengths of what follows may have changed
            else:
                self._append_own(end)

    def _with_calls(self) -> bool:
        """Continue over a message with calls, if the prompt continues with one that is kept."""
        sampled = self._calls.recall(self._prompt)
        if sampled is None:
            return False
        data, at = self._data_of(sampled), self._num_done
        size = 0
        while size < len(data) and at < len(self._token_ids):
            size += len(self._data_of(self._token_ids[at : at + 1]))
            at += 1
        if not data or self._data_of(self._token_ids[self._num_done : at]) != data:
            return False
        self._append(sampled)
        self._num_done = at
        return True

    def _append_own(self, end: int) -> None:
        self._append(self._token_ids[self._num_done : end])
        self._num_done = end

    def _append(self, token_ids: Sequence[int]) -> None:
        self._spliced += token_ids
        self._prompt.extend(token_ids)
