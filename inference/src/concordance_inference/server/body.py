"""Decodes a request's body into a Struct."""

import re
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec
from concordance_shared import InvalidRequestError, TooLargeError
from concordance_shared.conversation import roles_hint
from starlette.requests import Request

Body = TypeVar("Body")

_PATH = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")

#: An escape in JSON; `half` is one of a surrogate that lacks its other half.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)

#: The most characters of the client's input that a message quotes.
_MAX_MESSAGE = 500


async def read_raw(request: Request, *, max_bytes: int) -> bytes:
    """Read a body of at most `max_bytes`.

    Raises:
        TooLargeError: It is longer.
    """
    raw = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            raw += chunk
            if len(raw) > max_bytes:
                raise TooLargeError(f"the body is longer than {max_bytes} bytes; send less")
    return bytes(raw)


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
                param=at or None,
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
