"""Which tokens of a completion are content: no control tokens, no headers. No arrays, no text."""

from collections.abc import Collection, Sequence

from concordance_inference.engine.loops.detector import BREAK

#: Limit of a header, in tokens; what follows in a longer one is content.
MAX_HEADER = 64


class ContentFilter:
    """Replaces the tokens that belong to no message by `BREAK`.

    A control token ends a message, such as a tag of the reasoning, whose text is therefore a
    message of its own. In formats with headers, the tokens that follow one that opens a header are
    part of it, up to the next other control token:

        <|channel|>analysis<|message|>Hm, so<|end|><|start|>assistant<|channel|>final<|message|>42
        -----------------------------       -----------------------------------------------------

    Edits are exact: the result depends on the tokens only.
    """

    def __init__(
        self,
        control_ids: Collection[int],
        opening_ids: Collection[int] = (),
        prompt_ids: Sequence[int] = (),
    ) -> None:
        """Start with an empty completion.

        Args:
            control_ids: Tokens that end a message.
            opening_ids: Those of them that open a header.
            prompt_ids: The prompt, which may end within a header.
        """
        self._control_ids = frozenset(control_ids)
        self._opening_ids = frozenset(opening_ids)
        self._at_start = self._length_of_header(prompt_ids) if opening_ids else 0
        self._lengths: list[int] = []  # per token: length of the header up to it; 0 outside

    def _length_of_header(self, prompt_ids: Sequence[int]) -> int:
        """The length of the header that a prompt ends in."""
        for length, token_id in enumerate(reversed(prompt_ids[-MAX_HEADER:]), 1):
            if token_id in self._control_ids:
                return length if token_id in self._opening_ids else 0
        return 0

    def add(self, token_id: int) -> int:
        """Append a token; return it if it is content, otherwise `BREAK`."""
        if token_id in self._control_ids:
            self._lengths.append(int(token_id in self._opening_ids))
            return BREAK
        before = self._lengths[-1] if self._lengths else self._at_start
        length = before + 1 if 0 < before < MAX_HEADER else 0
        self._lengths.append(length)
        return BREAK if length else token_id

    def cut(self, length: int) -> None:
        """Keep the first `length` tokens."""
        del self._lengths[length:]
