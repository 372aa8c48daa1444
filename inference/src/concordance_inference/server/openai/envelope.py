"""Checks a chat request before it is decoded: the size, depth and support of each field.

Decoding a field makes Python objects, which may be traversed, rendered or compiled later. All of
that grows with the field's size, so the size is limited first, while the field is still text.
"""

import re
from collections.abc import Container, Mapping
from functools import lru_cache
from itertools import accumulate

import msgspec
from concordance_shared import InvalidRequestError

from concordance_inference.server.openai.generation_fields import StreamOptions
from concordance_inference.server.openai.near_misses import is_small, refuse_near_misses
from concordance_inference.server.openai.output_fields import OutputFields
from concordance_inference.server.openai.schemas import (
    MAX_ITEMS,
    MAX_MESSAGES,
    MAX_PARTS,
    ChatCompletionRequest,
    ChatMessage,
)
from concordance_inference.server.openai.unsupported import (
    FIELDS,
    MESSAGE_FIELDS,
    Harmless,
    refuse_renamed,
    refuse_unsupported,
)
from concordance_inference.server.transport.body import decode_body

_KIB = 1024

#: Limits of fields, in bytes of JSON. The conversation, prompts and tokens are limited by the body.
_MAX_BYTES: Mapping[str, int] = {
    "messages": 1 << 62,
    "prompt": 1 << 62,
    "system": 1 << 62,
    "tokens": 1 << 62,
    "input": 1 << 62,
    "instructions": 1 << 62,
    "tools": 256 * _KIB,
    "response_format": 256 * _KIB,
    "text": 256 * _KIB,
    **dict.fromkeys(OutputFields.__struct_fields__, 256 * _KIB),
    "mods": 64 * _KIB,
    "logit_bias": 64 * _KIB,
    "stop": 128 * _KIB,
    "stop_sequences": 128 * _KIB,
    "output_config": 256 * _KIB,
    "output_format": 256 * _KIB,
}
_MAX_OTHER_BYTES = 16 * _KIB

#: Fields of any size, whose depth is checked by their types.
_LARGE = frozenset({"messages", "prompt", "system", "tokens", "input", "instructions"})

#: Limit of nesting in a field. Templates, serializers and compilers recurse.
MAX_DEPTH = 64

#: Up to this many bytes, the entries of an array are not counted before it is decoded.
_SMALL = 16 * _KIB

#: Fields of a message that may be arrays.
_PARTS = frozenset({"content", "tool_calls"})

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_DELTA = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

_ABSENT = msgspec.Raw(b"")


class Fields(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The fields of a request."""

    used: tuple[str, ...]
    unsupported: Mapping[str, Harmless]
    renamed: Mapping[str, str]  # the names of other APIs' fields in this request
    envelope: type[msgspec.Struct]  # decodes none of them


def fields_of(
    body_type: type[msgspec.Struct],
    unsupported: Mapping[str, Harmless],
    renamed: Mapping[str, str] | None = None,
) -> Fields:
    """Describe the fields of a request.

    Args:
        body_type: Its body.
        unsupported: The other fields that change the output, with their harmless values.
        renamed: Fields of other APIs, with their names in this request.
    """
    used = body_type.__struct_fields__
    renamed = renamed or {}
    names = dict.fromkeys((*used, *unsupported, *renamed))
    envelope = msgspec.defstruct("_Envelope", [(name, msgspec.Raw, _ABSENT) for name in names])
    return Fields(used=used, unsupported=unsupported, renamed=renamed, envelope=envelope)


CHAT_FIELDS = fields_of(ChatCompletionRequest, FIELDS)


_MessageEnvelope = msgspec.defstruct(
    "_MessageEnvelope",
    [
        (name, msgspec.Raw, _ABSENT)
        for name in dict.fromkeys((*ChatMessage.__struct_fields__, *MESSAGE_FIELDS))
    ],
)


@lru_cache
def _array_of_more_than(count: int) -> type[msgspec.Struct]:
    """Make a type that decodes an array up to entry `count`, and skips the rest."""
    fields = [(f"entry_{i}", msgspec.Raw, _ABSENT) for i in range(count + 1)]
    return msgspec.defstruct("_Array", fields, array_like=True)


def check_fields(raw: bytes, fields: Fields = CHAT_FIELDS) -> bytes:
    """Refuse fields that are too large, not supported, or probably mistyped.

    Args:
        raw: The body.
        fields: The fields of the request.

    Returns:
        The body with each known field once and no others: of a repeated field, only the last one
        was checked, and an earlier one may have any size.

    Raises:
        InvalidRequestError: The body is not an object, or a field is wrong; `param` names it.
    """
    given = _given(decode_body(raw, fields.envelope))
    refuse_renamed(given, fields.renamed)
    refuse_unsupported(given, fields.unsupported)
    if is_small(raw, given.values()):
        refuse_near_misses(raw, fields.envelope.__struct_fields__, fields.used)
    for name, value in given.items():
        if name in fields.unsupported or name in fields.renamed:
            continue
        check_size(name, value, max_bytes=_MAX_BYTES.get(name, _MAX_OTHER_BYTES))
        if name not in _LARGE:
            check_depth(name, value)
    if "input" in given:
        check_count(given["input"], "input", MAX_ITEMS)
    if "messages" in given:
        check_count(given["messages"], "messages", MAX_MESSAGES)
    if "stream_options" in given:
        options = StreamOptions.__struct_fields__
        refuse_near_misses(given["stream_options"], options, options, at="stream_options.")
    return _known(given, {*fields.unsupported, *fields.renamed})


def decode_message(raw: msgspec.Raw, at: str) -> ChatMessage:
    """Decode one message.

    Args:
        raw: The message.
        at: Its path in the request.

    Raises:
        InvalidRequestError: A field is wrong, too large or not supported; `param` names it.
    """
    given = _given(decode_body(raw, _MessageEnvelope, at=at))
    refuse_unsupported(given, MESSAGE_FIELDS, at=f"{at}.")
    for name in given.keys() & _PARTS:
        check_count(given[name], f"{at}.{name}", MAX_PARTS)
    return decode_body(_known(given, MESSAGE_FIELDS), ChatMessage, at=at)


def check_size(at: str, value: msgspec.Raw, *, max_bytes: int) -> None:
    """Refuse a field that is too large.

    Raises:
        InvalidRequestError: It is; `param` names it.
    """
    size = len(bytes(value))
    if size > max_bytes:
        raise InvalidRequestError(
            f"{at} has {size} bytes of JSON; the limit is {max_bytes}", param=at
        )


def check_depth(at: str, value: msgspec.Raw | bytes) -> None:
    """Refuse a field that is nested too deeply.

    Raises:
        InvalidRequestError: It is; `param` names it.
    """
    brackets = _STRING.sub(b"", bytes(value)).translate(None, _NOT_BRACKETS)
    depth = max(accumulate(map(_DELTA.__getitem__, brackets)), default=0)
    if depth > MAX_DEPTH:
        raise InvalidRequestError(
            f"{at} is nested {depth} levels deep; the limit is {MAX_DEPTH}",
            param=at,
        )


def check_count(value: msgspec.Raw, at: str, count: int) -> None:
    """Refuse an array of too many entries, without making an object for each.

    Raises:
        InvalidRequestError: It has more than `count`; `param` names it.
    """
    raw = bytes(value)
    if len(raw) <= _SMALL or not raw.lstrip().startswith(b"["):
        return
    array = _array_of_more_than(count)
    if getattr(decode_body(raw, array, at=at), array.__struct_fields__[-1]) is not _ABSENT:
        raise InvalidRequestError(
            f"{at} has more than {count} entries, which is the limit", param=at
        )


def _known(given: Mapping[str, msgspec.Raw], others: Container[str]) -> bytes:
    """The fields that are decoded, as JSON."""
    return msgspec.json.encode({name: value for name, value in given.items() if name not in others})


def _given(envelope: msgspec.Struct) -> dict[str, msgspec.Raw]:
    """The fields that are present."""
    fields = {name: getattr(envelope, name) for name in envelope.__struct_fields__}
    return {name: value for name, value in fields.items() if value is not _ABSENT}


__all__ = [
    "MAX_MESSAGES",
    "check_depth",
    "check_fields",
    "check_size",
    "decode_message",
]
