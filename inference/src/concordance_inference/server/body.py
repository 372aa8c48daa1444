"""Reads a request's body into a struct: parsed at the edge, once."""

import re
from contextlib import aclosing
from typing import TypeVar

import msgspec
from concordance_shared import InvalidRequestError, TooLargeError
from starlette.requests import Request

Body = TypeVar("Body")

_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")


async def read_body(request: Request, body_type: type[Body], *, max_bytes: int) -> Body:
    """Read and validate a JSON body.

    Raises:
        TooLargeError: It is longer than `max_bytes`.
        InvalidRequestError: It is not JSON, or a field is wrong; `param` names the field.
    """
    raw = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            raw += chunk
            if len(raw) > max_bytes:
                raise TooLargeError(f"the body is longer than {max_bytes} bytes")
    return decode_body(bytes(raw), body_type)


def decode_body(raw: bytes, body_type: type[Body]) -> Body:
    """Validate a JSON body.

    Raises:
        InvalidRequestError: It is not JSON, or a field is wrong; `param` names the field.
    """
    try:
        return msgspec.json.decode(raw, type=body_type)
    except msgspec.ValidationError as exc:
        raise _named(str(exc)) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidRequestError(f"the body is not JSON: {exc}") from exc
    except RecursionError as exc:
        raise InvalidRequestError("the body is nested too deeply") from exc


def _named(message: str) -> InvalidRequestError:
    """The message of msgspec with the path of the field taken out of it."""
    found = _PATH.search(message)
    missing = re.search(r"missing required field `(?P<field>[^`]*)`", message)
    path = (found["path"].lstrip(".") if found else "") or None
    if missing:
        path = f"{path}.{missing['field']}" if path else missing["field"]
    text = _PATH.sub("", message)
    where = f"{path}: " if path else ""
    return InvalidRequestError(f"{where}{text[:1].lower()}{text[1:]}", param=path)
