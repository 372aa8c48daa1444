"""Log-probabilities of tokens, as text and bytes."""

import codecs
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from concordance_inference.generation import TokenLogprobs

#: JSON has no -inf; OpenAI's API sends this logprob for an impossible token.
_IMPOSSIBLE = -9999.0

_Utf8 = codecs.getincrementaldecoder("utf-8")


class LogprobEntries:
    """Makes the entries of tokens; the first token is decoded as the start of a text."""

    def __init__(self, token_bytes: Callable[..., bytes]) -> None:
        """Decode tokens with `ChatFormat.token_bytes`."""
        self._token_bytes = token_bytes
        self._has_begun = False

    def of(self, tokens: Sequence[TokenLogprobs]) -> list[dict[str, Any]]:
        """The entries of the next tokens."""
        return [self._entry(token) for token in tokens]

    def _entry(self, token: TokenLogprobs) -> dict[str, Any]:
        at_start, self._has_begun = not self._has_begun, True
        return {
            **self._token(token.token_id, token.logprob, at_start=at_start),
            "top_logprobs": [self._token(*pair, at_start=at_start) for pair in token.top],
        }

    def _token(self, token_id: int, logprob: float, *, at_start: bool) -> dict[str, Any]:
        data = self._token_bytes(token_id, at_start=at_start)
        return {
            "token": data.decode(errors="replace"),
            "logprob": max(logprob, _IMPOSSIBLE),
            "bytes": list(data),
        }


def without_bytes(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries as the events of a stream have them."""
    return [
        {
            "token": entry["token"],
            "logprob": entry["logprob"],
            "top_logprobs": [
                {"token": top["token"], "logprob": top["logprob"]} for top in entry["top_logprobs"]
            ],
        }
        for entry in entries
    ]


def tokens_of(text: str, tokens: Sequence[bytes]) -> tuple[int, int]:
    r"""Return the first and the last token of a text, the last one excluded.

    Tags and calls are tokens without text. A text begins with a token where that is possible; one
    that is not found is all of the tokens. Bytes that are no character are U+FFFD in the text.

    Examples:
        >>> tokens_of("t", [b"</think>", b"t", b"!"])
        (1, 2)
        >>> tokens_of("ab", [b"\n\na", b"b"])
        (0, 2)
        >>> tokens_of("\ufffda", [b"\xff", b"a", b"b"])
        (0, 2)
    """
    decoder = _Utf8(errors="replace")
    pieces = [*map(decoder.decode, tokens), decoder.decode(b"", final=True)]
    joined, begins = "".join(pieces), [0, *accumulate(map(len, pieces))]
    found = next((begin for begin in begins if joined.startswith(text, begin)), None)
    if found is None:
        found = joined.find(text)
    if found < 0:
        return 0, len(tokens)
    first = bisect_left(begins, found)
    if begins[first] > found:
        first -= 1
    return first, min(bisect_left(begins, found + len(text)), len(tokens))
