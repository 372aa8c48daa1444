"""Log-probabilities of tokens, as text and bytes."""

from collections.abc import Callable, Sequence
from typing import Any

from concordance_inference.generation import TokenLogprobs

#: JSON has no -inf; OpenAI's API sends this logprob for an impossible token.
_IMPOSSIBLE = -9999.0


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
