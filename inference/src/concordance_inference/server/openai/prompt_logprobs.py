"""The log-probabilities of a prompt's tokens, in vLLM's shape."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from concordance_shared import InvalidRequestError
from msgspec import Meta

from concordance_inference.generation import MAX_TOP_LOGPROBS, TokenLogprobs
from concordance_inference.server.openai.unsupported import Harmless

#: JSON has no -inf; OpenAI's API sends this logprob for an impossible token.
IMPOSSIBLE = -9999.0

#: The fields in requests that have no log-probabilities, with the values that change nothing there.
HARMLESS: dict[str, Harmless] = {"prompt_logprobs": (), "sampled_logprobs": (False,)}


NumAlternatives = Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)]


def check_sampled_logprobs(*, asked: bool | None, has_logprobs: bool) -> None:
    """Refuse `sampled_logprobs` without `logprobs`, of whose entries it is a field.

    Raises:
        InvalidRequestError: It is requested alone; `param` is the field.
    """
    if asked and not has_logprobs:
        raise InvalidRequestError(
            "sampled_logprobs is a field of each entry of logprobs: set logprobs as well",
            param="sampled_logprobs",
        )


def prompt_logprobs(
    entries: Sequence[TokenLogprobs | None], token_bytes: Callable[..., bytes]
) -> list[dict[str, Any] | None]:
    """Encode entries: one for each token of the prompt, null for the first.

    Args:
        entries: They have ranks.
        token_bytes: The bytes that a token adds to a text, as `ChatFormat.token_bytes`.
    """
    return [entry and _position(entry, token_bytes) for entry in entries]


def _position(entry: TokenLogprobs, token_bytes: Callable[..., bytes]) -> dict[str, Any]:
    """The most probable tokens by id, and the token itself if it is none of them."""
    ranked = [(i, *pair) for i, pair in enumerate(entry.top, start=1)]
    ranked.append((entry.rank or 0, entry.token_id, entry.logprob))
    return {
        str(token_id): {
            "logprob": max(logprob, IMPOSSIBLE),
            "rank": rank,
            "decoded_token": token_bytes(token_id).decode(errors="replace"),
        }
        for rank, token_id, logprob in ranked
    }
