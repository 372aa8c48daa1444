"""Decodes a request's body into a Struct."""

import asyncio
import re
from collections.abc import Awaitable
from contextlib import aclosing
from typing import Any, ClassVar, TypeVar

import msgspec
from concordance_shared import InvalidRequestError, RequestError, TooLargeError
from concordance_shared.conversation import roles_hint
from starlette.requests import Request

from concordance_inference.server.limits import Limits, limits_of

Body = TypeVar("Body")

_PATH = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")

#: An escape in JSON; `half` is one of a surrogate that lacks its other half.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)

#: Replaces halves to find the field that has one; a private-use character.
_MARK = b"\\ue9f7"

#: The most characters of the client's input that a message quotes.
_MAX_MESSAGE = 500


class BodyTimeoutError(RequestError):
    """The client sends less than `Content-Length` says, or too slowly."""

    status_code: ClassVar[int] = 408
    code: ClassVar[str] = "request_timeout"


async def read_raw(request: Request, *, max_bytes: int | None = None) -> bytes:
    """Read a body within the limits of the server.

    Args:
        request: The request.
        max_bytes: The most bytes; those of the server's limits if `None`.

    Raises:
        TooLargeError: It is longer, or `Content-Length` says so.
        BodyTimeoutError: A part of it does not arrive, or all of it takes too long.
    """
    limits = limits_of(request)
    try:
        async with asyncio.timeout(limits.body_s):
            return await _read(
                request, limits, limits.body_bytes if max_bytes is None else max_bytes
            )
    except TimeoutError:
        raise BodyTimeoutError(
            f"the body did not arrive within {limits.body_s:g} s; send it faster, or less"
        ) from None


async def _read(request: Request, limits: Limits, max_bytes: int) -> bytes:
    error = TooLargeError(f"the body is longer than {max_bytes} bytes; send less")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise error
    raw = bytearray()
    async with aclosing(request.stream()) as chunks:
        while (chunk := await _within(limits.body_idle_s, anext(chunks, None))) is not None:
            raw += chunk
            if len(raw) > max_bytes:
                raise error
    return bytes(raw)


async def _within(seconds: float, part: Awaitable[bytes | None]) -> bytes | None:
    try:
        async with asyncio.timeout(seconds):
            return await part
    except TimeoutError:
        raise BodyTimeoutError(
            f"no part of the body arrived for {seconds:g} s; check `Content-Length`"
        ) from None


def decode_body(raw: bytes | msgspec.Raw, body_type: type[Body] | Any, *, at: str = "") -> Body:
    """Validate a JSON body, or a field of one.

    Args:
        raw: The JSON.
        body_type: The type to decode into.
        at: The path of the field; empty for the whole body.

    Raises:
        InvalidRequestError: It is not JSON, or a field is wrong; `param` names the field.
    """
    try:
        return msgspec.json.decode(raw, type=body_type)
    except msgspec.ValidationError as exc:
        raise _named(str(exc), at) from exc
    except (msgspec.DecodeError, UnicodeError) as exc:
        if half := _half_of_a_pair(bytes(raw)):
            raise InvalidRequestError(
                f"the body is not Unicode: its escape {half} is half of a surrogate pair, which "
                "UTF-8 cannot encode; leave it out",
                param=at or _field_with_half(bytes(raw)),
            ) from exc
        raise InvalidRequestError(f"the body is not JSON: {exc}", param=at or None) from exc
    except RecursionError as exc:
        raise InvalidRequestError(
            f"{at or 'the body'} is nested too deeply", param=at or None
        ) from exc


def _half_of_a_pair(raw: bytes) -> str | None:
    """The first escape of half of a surrogate pair in JSON."""
    halves = (found["half"] for found in _ESCAPE.finditer(raw))
    return next((half.decode() for half in halves if half), None)


def _field_with_half(raw: bytes) -> str | None:
    """The field of an object whose value has half of a surrogate pair, if one has."""
    marked = _ESCAPE.sub(lambda found: _MARK if found["half"] else found[0], raw)
    try:
        fields = msgspec.json.decode(marked, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return next((name for name, value in fields.items() if _MARK in bytes(value)), None)


def _named(message: str, at: str) -> InvalidRequestError:
    """Msgspec's message, with the path of the field moved from its end to `param`."""
    found = _PATH.search(message)
    missing = re.search(r"missing required field `(?P<field>[^`]*)`", message)
    path = at + (found["path"] if found else "")
    path += f".{missing['field']}" if missing else ""
    path = path.removeprefix(".")[:_MAX_MESSAGE]
    text = _PATH.sub("", message)[:_MAX_MESSAGE]  # it may quote a name of the client's choice
    where = f"{path}: " if path else ""
    return InvalidRequestError(
        f"{where}{text[:1].lower()}{text[1:]}{roles_hint(path)}", param=path or None
    )
