"""Log-probabilities in the shape of `/v1/completions`: parallel lists."""

import codecs
from collections.abc import Callable, Sequence
from typing import Any

from concordance_inference.generation import TokenLogprobs
from concordance_inference.server.openai.prompt_logprobs import IMPOSSIBLE


class LegacyLogprobs:
    """The log-probabilities of one choice, whole or in parts.

    `text_offset` counts the characters of the choice's text before each token. A character that
    several tokens complete begins where the first of them does.
    """

    def __init__(self, token_bytes: Callable[..., bytes], *, with_sampled: bool = False) -> None:
        """Start at the beginning of the text.

        Args:
            token_bytes: The bytes that a token adds to a text, as `ChatFormat.token_bytes`.
            with_sampled: Also have those under the distribution that was sampled from.
        """
        self._with_sampled = with_sampled
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._length = 0  # characters before the next token
        self._is_start = True

    def skip(self, num_chars: int) -> None:
        """Continue after text that has no entries; may be negative to begin before the text."""
        self._length += num_chars

    def of(
        self, token_ids: Sequence[int], entries: Sequence[TokenLogprobs | None], length: int
    ) -> dict[str, Any]:
        """Encode the next tokens.

        Args:
            token_ids: The tokens.
            entries: One for each; `None` for a first token, which follows nothing.
            length: Of the text so far; no offset is beyond it.
        """
        tokens: list[str] = []
        offsets: list[int] = []
        for token_id in token_ids:
            offsets.append(min(max(self._length, 0), length))
            data = self._token_bytes(token_id, at_start=self._is_start)
            self._is_start = False
            tokens.append(data.decode(errors="replace"))
            self._length += len(self._decoder.decode(data))
        sampled = [entry and entry.sampled_logprob for entry in entries]
        return {
            "tokens": tokens,
            "token_logprobs": [entry and max(entry.logprob, IMPOSSIBLE) for entry in entries],
            "top_logprobs": [entry and self._top(entry) for entry in entries],
            "text_offset": offsets,
            **({"sampled_token_logprobs": sampled} if self._with_sampled else {}),
        }

    def _top(self, entry: TokenLogprobs) -> dict[str, float]:
        """The alternatives by text, the token itself among them."""
        top: dict[str, float] = {}
        for token_id, logprob in (*entry.top, (entry.token_id, entry.logprob)):
            text = self._token_bytes(token_id).decode(errors="replace")
            top.setdefault(text, max(logprob, IMPOSSIBLE))
        return top


def num_chars(token_ids: Sequence[int], token_bytes: Callable[..., bytes]) -> int:
    """Return the number of characters of a text's tokens, with the names of special ones."""
    data = b"".join(token_bytes(token_id, at_start=not i) for i, token_id in enumerate(token_ids))
    return len(data.decode(errors="replace"))
