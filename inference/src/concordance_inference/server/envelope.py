"""A chat request before it is decoded: how large its fields are, and which of them it has.

Decoding a field makes objects of it, and what a field holds may be walked, rendered or compiled
later. All of that takes time with the field's size, so the size is bounded first, while the field
is still text.
"""

import re
from collections.abc import Mapping
from itertools import accumulate

import msgspec
from concordance_shared import InvalidRequestError

from concordance_inference.server.body import decode_body
from concordance_inference.server.schemas import (
    MAX_MESSAGES,
    MAX_PARTS,
    ChatCompletionRequest,
    ChatMessage,
)
from concordance_inference.server.unsupported import FIELDS, MESSAGE_FIELDS, refuse_unsupported

_KIB = 1024

#: The largest fields, in bytes of JSON. `messages` are bounded by the body and by the context.
_MAX_BYTES: Mapping[str, int] = {
    "messages": 1 << 62,
    "tools": 256 * _KIB,
    "response_format": 256 * _KIB,
    "mods": 64 * _KIB,
    "logit_bias": 64 * _KIB,
    "stop": 128 * _KIB,
}
_MAX_OTHER_BYTES = 16 * _KIB

#: How deep JSON may be nested in a field. Templates, serializers and compilers recurse.
MAX_DEPTH = 100

#: A message of fewer bytes is decoded without a look at its parts.
_SMALL = 16 * _KIB

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_DELTA = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

_ABSENT = msgspec.Raw(b"")
_Envelope = msgspec.defstruct(
    "_Envelope",
    [
        (name, msgspec.Raw, _ABSENT)
        for name in dict.fromkeys((*ChatCompletionRequest.__struct_fields__, *FIELDS))
    ],
)


class _Probe(msgspec.Struct):
    """What of a message may hold many parts."""

    content: msgspec.Raw = _ABSENT
    tool_calls: msgspec.Raw = _ABSENT


def check_fields(raw: bytes) -> None:
    """Refuse fields that are too large or not supported.

    Raises:
        InvalidRequestError: The body is not an object, or a field is at fault; it is named.
    """
    given = _given(decode_body(raw, _Envelope))
    refuse_unsupported(given, FIELDS)
    for name, value in given.items():
        if name in FIELDS:
            continue
        check_size(name, value, max_bytes=_MAX_BYTES.get(name, _MAX_OTHER_BYTES))
        if name != "messages":
            check_depth(name, value)


def decode_message(raw: msgspec.Raw, at: str) -> ChatMessage:
    """Decode one message.

    Args:
        raw: The message.
        at: Its path in the request.

    Raises:
        InvalidRequestError: A field of it is wrong, too large or not supported; it is named.
    """
    if len(bytes(raw)) > _SMALL:
        probe = decode_body(raw, _Probe, at=at)
        for name in ("content", "tool_calls"):
            _check_parts(bytes(getattr(probe, name)), f"{at}.{name}")
    refuse_unsupported(
        _given(decode_body(raw, _MessageEnvelope, at=at)), MESSAGE_FIELDS, at=f"{at}."
    )
    return decode_body(raw, ChatMessage, at=at)


_MessageEnvelope = msgspec.defstruct(
    "_MessageEnvelope", [(name, msgspec.Raw, _ABSENT) for name in MESSAGE_FIELDS]
)


def check_size(at: str, value: msgspec.Raw, *, max_bytes: int) -> None:
    """Refuse a field that is too large.

    Raises:
        InvalidRequestError: It is; it is named.
    """
    size = len(bytes(value))
    if size > max_bytes:
        raise InvalidRequestError(
            f"{at} has {size} bytes of JSON, and may have {max_bytes} at most", param=at
        )


def check_depth(at: str, value: msgspec.Raw | bytes) -> None:
    """Refuse a field that is nested too deeply.

    Raises:
        InvalidRequestError: It is; it is named.
    """
    brackets = _STRING.sub(b"", bytes(value)).translate(None, _NOT_BRACKETS)
    depth = max(accumulate(map(_DELTA.__getitem__, brackets)), default=0)
    if depth > MAX_DEPTH:
        raise InvalidRequestError(
            f"{at} is nested {depth} levels deep, and may be nested {MAX_DEPTH} deep at most",
            param=at,
        )


def _check_parts(raw: bytes, at: str) -> None:
    if not raw.lstrip().startswith(b"["):
        return
    count = len(decode_body(raw, list[msgspec.Raw], at=at))
    if count > MAX_PARTS:
        raise InvalidRequestError(
            f"{at} has {count} entries, and may have {MAX_PARTS} at most", param=at
        )


def _given(envelope: msgspec.Struct) -> dict[str, msgspec.Raw]:
    """The fields that are there."""
    fields = {name: getattr(envelope, name) for name in envelope.__struct_fields__}
    return {name: value for name, value in fields.items() if value is not _ABSENT}


__all__ = ["MAX_MESSAGES", "check_depth", "check_fields", "check_size", "decode_message"]
