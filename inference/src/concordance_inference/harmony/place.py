"""Where in a Harmony completion the next token is: in a header, in a message, or between messages.

A pure state machine over structural tokens and the text between them. It never fails: malformed
headers are read as far as possible, and their text becomes content otherwise.
"""

import re
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct

from concordance_inference.harmony.vocabulary import HarmonyTokens

#: Limit of a header, in bytes; a longer one is content.
MAX_HEADER = 512

#: The channels of gpt-oss.
CHANNELS = ("analysis", "commentary", "final")

#: Authors of messages other than the assistant; those of tools have the names of tools.
_OTHER_ROLES = ("user", "system", "developer", "tool", "functions")

_ASSISTANT = re.compile(r"(?:assistant)+")
_RECIPIENT = re.compile(r"\s*\bto=\s*\S*")

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

    @property
    def is_of_other(self) -> bool:
        """True if the author is the user, a tool, or another one but the assistant."""
        if self.role == "assistant":
            return False
        is_result = self.recipient == "assistant"
        return is_result or re.split("[.:]", self.role)[0] in _OTHER_ROLES


class Place(Struct, frozen=True, kw_only=True):
    """Where the next token of a completion is.

    Attributes:
        kind: `header`: within the header of a message; `content`: within a message; `between`:
            after a message, where the next header begins.
        header: Of the message; an empty one except within its content, and following a message
            that was salvaged.
        num_messages: Messages whose content has begun, this one included.
        written: The header so far, within one.
        names_role: The header begins with its author, as those after `<|start|>` do.
        salvaged: The text of a malformed header, which is the beginning of the content.
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


def after(
    place: Place,
    token_id: int,
    tokens: HarmonyTokens,
    token_bytes: Callable[[int], bytes],
) -> Place:
    """Return the place after a token; the same object if the token does not change it.

    Args:
        place: The place before it.
        token_id: The token.
        tokens: The structural tokens.
        token_bytes: The bytes of a token of text.
    """
    if token_id in tokens.all:
        return after_token(place, token_id, tokens)
    if place.kind == "content":  # nearly always
        return place
    return after_text(place, token_bytes(token_id), tokens)


def after_text(place: Place, data: bytes, tokens: HarmonyTokens) -> Place:
    """Return the place after text, which changes it only outside messages.

    Args:
        place: The place before it.
        data: UTF-8, or a part of it.
        tokens: The structural tokens.
    """
    if place.kind == "content" or not data:
        return place
    if place.kind == "between":  # a header without `<|start|>`, or text without a header
        if not (data := data.lstrip()):
            return place
        place = Place(num_messages=place.num_messages)
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
    values: dict[str, str] = {}
    for kind, word in _words(written, tokens):
        if kind == "to=":
            values["recipient"] = word
        elif kind == "channel":
            channel, _, recipient = word.partition("to=")
            values.setdefault("channel", channel)
            values |= {"recipient": recipient} if recipient else {}
        elif kind == "constrain":
            values["content_type"] = word
        else:
            _read_bare(word, values, names_role=names_role)
    return Header(**values)


def _read_bare(word: str, values: dict[str, str], *, names_role: bool) -> None:
    """Read a word that nothing precedes, which is never a recipient."""
    assistant = _ASSISTANT.match(word)
    rest = word[assistant.end() :] if assistant else word
    if rest in CHANNELS:
        values.setdefault("channel", rest)
    elif names_role and "role" not in values:
        values["role"] = word if rest else "assistant"
    elif rest:
        values.setdefault("content_type", word)


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
    """The place after a token that ends a message; a header without a message has its text."""
    if place.kind == "header":
        message = _salvaged(place, tokens)
        if message.salvaged.strip():
            return msgspec.structs.replace(message, kind="between")
    return Place(kind="between", num_messages=place.num_messages)


def _salvaged(place: Place, tokens: HarmonyTokens) -> Place:
    """The content of a message without `<|message|>`: the text of its header."""
    header = read_header(place.written, tokens, names_role=place.names_role)
    channel = next((c for c in CHANNELS if (header.channel or "").startswith(c)), header.channel)
    return Place(
        kind="content",
        header=Header(role=header.role if header.is_of_other else "assistant", channel=channel),
        num_messages=place.num_messages + 1,
        salvaged=salvaged_text(place.written, tokens, names_role=place.names_role),
    )


def salvaged_text(written: Written, tokens: HarmonyTokens, *, names_role: bool = False) -> str:
    """Return the text of a header without the words that are part of headers.

    Args:
        written: The header.
        tokens: The structural tokens.
        names_role: It begins with its author.
    """
    before = 0
    texts: list[str] = []
    for part in written:
        if isinstance(part, int):
            before = part
            continue
        text = part.decode(errors="replace")
        if before == tokens.channel:
            text = _without_channel(text)
        elif before == tokens.constrain:
            text = re.sub(r"^\s*\S+", "", text)
        elif not before:
            text = _without_role(text, names_role=names_role)
        texts.append(_RECIPIENT.sub("", text, count=1) if _RECIPIENT.match(text) else text)
    return "".join(texts).lstrip()


def _without_channel(text: str) -> str:
    """A text without the channel it begins with, to which the content may be joined."""
    found = re.match(rf"\s*(?:{'|'.join(CHANNELS)}|\S+)", text)
    return text[found.end() :] if found else text


def _without_role(text: str, *, names_role: bool) -> str:
    """A text without the author it begins with."""
    text = text.lstrip()
    if found := _ASSISTANT.match(text):
        return text[found.end() :]
    word = text.split(maxsplit=1)[:1]
    if names_role and word and Header(role=word[0]).is_of_other:
        return text[len(word[0]) :]
    return text
