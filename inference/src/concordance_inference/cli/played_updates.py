"""The result of `play` as the updates of an engine, so that it is shown in the same way."""

from collections.abc import Iterator

from concordance_sdk.testing import Played

from concordance_inference.engine.output.decoder import BytesDecoder
from concordance_inference.engine.output.token_stream import TokenStream
from concordance_inference.generation import Completed, Update


def played_updates(played: Played) -> Iterator[Update]:
    """Yield every change of a completion that was played with byte tokens, and its end."""
    stream = TokenStream(BytesDecoder(_token_bytes))
    yield from stream.deltas(played.changes)
    if last := stream.last_delta():
        yield last
    yield Completed(
        text=played.text,
        token_ids=played.token_ids,
        finish_reason=played.finish_reason,
        tool_calls=played.tool_calls,
        prompt_tokens=len(played.prompt_ids),
        completion_tokens=len(played.token_ids),
        forced_tokens=played.num_forced,
        backtracked_tokens=played.num_backtracked,
    )


def _token_bytes(token_id: int) -> bytes:
    return bytes([token_id]) if token_id < 256 else b""
