"""The messages of a finished Harmony completion, by its tokens."""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from concordance_inference.harmony.place import Header, Place, after
from concordance_inference.harmony.turn import HarmonyTurn


class WrittenMessage(Struct, frozen=True, kw_only=True):
    """A message, and the token that ended it.

    Attributes:
        header: Its header.
        text: Its content.
        is_whole: It begins in the completion, not in the prompt.
        end: The structural token that ended it; `None` if the completion did.
    """

    header: Header
    text: str
    is_whole: bool
    end: int | None = None


def written_messages(
    token_ids: Sequence[int], turn: HarmonyTurn, token_bytes: Callable[[int], bytes]
) -> Iterator[WrittenMessage]:
    """Iterate over the messages of a completion.

    Args:
        token_ids: The completion.
        turn: Where it begins.
        token_bytes: The bytes of a token.
    """
    structural = turn.tokens.all
    place, data, is_whole = turn.opened, bytearray(), turn.opened.kind != "content"
    for token_id in token_ids:
        before, place = place, after(place, token_id, turn.tokens, token_bytes)
        if place is before:
            if place.kind == "content" and token_id not in structural:
                data += token_bytes(token_id)
            continue
        if before.kind == "content":
            yield _message(before, data, is_whole=is_whole, end=token_id)
        if place.kind == "content" or place.salvaged:
            data, is_whole = bytearray(place.salvaged.encode()), True
        if place.kind != "content" and place.salvaged:  # a header that ended without a message
            yield _message(place, data, is_whole=True, end=token_id)
    if place.kind == "content":
        yield _message(place, data, is_whole=is_whole)


def _message(
    place: Place, data: bytearray, *, is_whole: bool, end: int | None = None
) -> WrittenMessage:
    text = data.decode(errors="replace")
    return WrittenMessage(header=place.header, text=text, is_whole=is_whole, end=end)
