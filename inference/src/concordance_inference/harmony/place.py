"""Where in a Harmony completion the next token is: in a header, in a message, or between messages.

A pure state machine over structural tokens and the text between them. It never fails: malformed
headers are read as far as possible, and their words become content otherwise.
"""

from typing import Literal

import msgspec
from msgspec import Struct

from concordance_inference.harmony.vocabulary import HarmonyTokens

#: Limit of a header, in bytes; a longer one is content.
MAX_HEADER = 512

#: A header: its text, and between that its structural tokens by id.
Written = tuple[bytes | int, ...]


class Header(Struct, frozen=True, kw_only=True):
    """The header of a message.

    Attributes:
        role: The author, `assistant` unless the header names another one.
        channel: `analysis`, `commentary`, `final`, or what the model wrote.
        recipient: The tool that the message is sent to, such as `functions.get_weather`.
        content_type: The type of the content, such as `json`.
    """

    role: str = "assistant"
    channel: str | None = None
    recipient: str | None = None
    content_type: str | None = None


class Place(Struct, frozen=True, kw_only=True):
    """Where the next token of a completion is.

    Attributes:
        kind: `header`: within the header of a message; `content`: within a message; `between`:
            after a message, where the next header begins.
        header: Of the message; an empty one except within its content.
        num_messages: Messages whose content has begun, this one included.
        written: The header so far, within one.
        names_role: The header begins with its author, as those after `<|start|>` do.
        salvaged: The words of a malformed header, which are the beginning of the content.
    """

    kind: Literal["header", "content", "between"] = "header"
    header: Header = Header()
    num_messages: int = 0
    written: Written = ()
    names_role: bool = False
    salvaged: str = ""


#: A completion begins within a header: the prompt ends with `<|start|>assistant`.
START = Place()


def after_token(place: Place, token_id: int, tokens: HarmonyTokens) -> Place:
    """Return the place after a structural token; other special tokens change nothing.

    Args:
        place: The place before it.
        token_id: The token.
        tokens: The structural tokens.
    """
    if token_id == tokens.start:
        return Place(num_messages=place.num_messages, names_role=True)
    if token_id in tokens.closing:
        return _closed(place, tokens)
    if place.kind == "header":
        return _in_header(place, token_id, tokens)
    if token_id == tokens.channel:
        return Place(written=(token_id,), num_messages=place.num_messages)
    return place


def _in_header(place: Place, token_id: int, tokens: HarmonyTokens) -> Place:
    if token_id == tokens.message:
        header = read_header(place.written, tokens, names_role=place.names_role)
        return Place(kind="content", header=header, num_messages=place.num_messages + 1)
    if token_id in (tokens.channel, tokens.constrain):
        return msgspec.structs.replace(place, written=(*place.written, token_id))
    return place


def after_text(place: Place, data: bytes, tokens: HarmonyTokens) -> Place:
    """Return the place after text, which changes it only outside messages.

    Args:
        place: The place before it.
        data: UTF-8, or a part of it.
        tokens: The structural tokens.
    """
    if place.kind == "content" or not data:
        return place
    if place.kind == "between":  # text without a header
        if not data.strip():
            return place
        return _salvaged(Place(written=(data,), num_messages=place.num_messages), tokens)
    *before, last = place.written or (b"",)
    whole = (*before, last + data) if isinstance(last, bytes) else (*before, last, data)
    place = msgspec.structs.replace(place, written=whole)
    is_long = sum(len(part) for part in whole if isinstance(part, bytes)) > MAX_HEADER
    return _salvaged(place, tokens) if is_long else place


def read_header(written: Written, tokens: HarmonyTokens, *, names_role: bool = False) -> Header:
    """Read the header of a message as far as it is well-formed.

    Args:
        written: The header.
        tokens: The structural tokens.
        names_role: It begins with its author.
    """
    words = _words(written, tokens)
    values: dict[str, str] = {}
    for kind, word in words:
        if kind == "to=":
            values["recipient"] = word
        elif kind == "channel":
            values.setdefault("channel", word)
        elif kind == "constrain":
            values["content_type"] = word
        elif names_role and "role" not in values:
            values["role"] = word
        elif word != "assistant":  # a bare word is never a recipient
            values.setdefault("content_type", word)
    return Header(**values)


def _words(written: Written, tokens: HarmonyTokens) -> list[tuple[str, str]]:
    """The words of a header with what precedes each: a structural token, `to=`, or nothing."""
    words: list[tuple[str, str]] = []
    kinds = {tokens.channel: "channel", tokens.constrain: "constrain"}
    kind = ""
    for part in written:
        if isinstance(part, int):
            kind = kinds.get(part, "")
            continue
        for word in part.decode(errors="replace").split():
            is_recipient = word.startswith("to=")
            kind = "to=" if is_recipient else kind
            if named := word.removeprefix("to=") if is_recipient else word:
                words.append((kind, named))
                kind = ""
    return words


def _closed(place: Place, tokens: HarmonyTokens) -> Place:
    """The place after a token that ends a message; a header without a message has its words."""
    text = any(isinstance(part, bytes) and part.strip() for part in place.written)
    if place.kind == "header" and text and not _is_only_role(place):
        place = _salvaged(place, tokens)
    return Place(kind="between", num_messages=place.num_messages, salvaged=place.salvaged)


def _is_only_role(place: Place) -> bool:
    """True if nothing follows the author in a header that names it."""
    (first, *rest) = place.written
    return not rest and isinstance(first, bytes) and first.strip() == b"assistant"


def _salvaged(place: Place, tokens: HarmonyTokens) -> Place:
    """The content of a message without `<|message|>`: the words of its header."""
    header = read_header(place.written, tokens, names_role=place.names_role)
    words = [w for kind, w in _words(place.written, tokens) if not kind and w != "assistant"]
    return Place(
        kind="content",
        header=Header(channel=header.channel),
        num_messages=place.num_messages + 1,
        salvaged=" ".join(words),
    )
