"""Splits the sampled tokens of a completion into its messages."""

from array import array
from collections.abc import Callable, Sequence

from concordance_inference.harmony.place import Place, after_text, after_token
from concordance_inference.harmony.sampled_turns import SampledMessage
from concordance_inference.harmony.turn import HarmonyTurn
from concordance_inference.harmony.vocabulary import HarmonyTokens

#: The channels of messages that are kept as they were sampled.
_CHANNELS = frozenset({"analysis", "commentary", "final"})

#: What follows `<|constrain|>` in their headers.
_TYPES = (b"json", b"code")


def sampled_messages(
    token_ids: Sequence[int],
    turn: HarmonyTurn,
    begin: Sequence[int],
    bytes_of: Callable[[int], bytes | None],
) -> tuple[SampledMessage, ...] | None:
    """Return the messages of a completion; `None` if one of them is malformed.

    The last one gets an end if the completion was cut within it, and is left out if it was cut
    within its header.

    Args:
        token_ids: The completion.
        turn: The turn that the prompt opened, with a header.
        begin: The tokens `<|start|>assistant`.
        bytes_of: The bytes of a token of text; `None` for a special token.
    """
    tokens, place = turn.tokens, turn.opened
    messages: list[SampledMessage] = []
    ids = [*begin]
    for token_id in token_ids:
        following = _following(place, token_id, tokens, bytes_of)
        if following is None:
            return None
        if place.kind == "content" and following.kind != "content":
            end = tokens.call if token_id == tokens.call else tokens.end
            messages.append(_message([*ids, end], place))
            ids = []
        else:
            ids.append(token_id)
        place = following
    if place.kind == "content":
        if place.header.recipient is not None:  # a part of a call
            return None
        messages.append(_message([*ids, tokens.end], place))
    return tuple(messages)


def _following(
    place: Place, token_id: int, tokens: HarmonyTokens, bytes_of: Callable[[int], bytes | None]
) -> Place | None:
    """The place after a token; `None` if a well-formed completion does not have it there."""
    allowed = {
        "header": (tokens.channel, tokens.constrain, tokens.message),
        "content": tokens.closing,
        "between": (tokens.start,),
    }
    if token_id in tokens.all:
        is_twice = place.written[-1:] == (token_id,)
        if token_id not in allowed[place.kind] or is_twice:
            return None
        if token_id == tokens.message and not _is_usual(place, tokens):
            return None
        place = after_token(place, token_id, tokens)
    elif place.kind == "between" or (data := bytes_of(token_id)) is None:
        return None
    else:
        place = after_text(place, data, tokens)
    is_begun = place.kind == "content"
    return None if place.salvaged or (is_begun and not _is_known(place)) else place


def _is_usual(place: Place, tokens: HarmonyTokens) -> bool:
    """True if a header has one channel after `<|channel|>`, its author alone, and one type."""
    written = place.written
    first, *_ = written or (b"",)
    has_author = isinstance(first, bytes) and first.split()[:1] == [b"assistant"]
    if written.count(tokens.channel) != 1 or not (has_author or not place.names_role):
        return False
    if tokens.constrain not in written:
        return True
    *_, before, last = written
    return before == tokens.constrain and last in _TYPES


def _is_known(place: Place) -> bool:
    header = place.header
    return header.role == "assistant" and header.channel in _CHANNELS


def _message(ids: list[int], place: Place) -> SampledMessage:
    header = place.header
    is_reasoning = header.channel == "analysis" and header.recipient is None
    return SampledMessage(array("I", ids), is_reasoning)
