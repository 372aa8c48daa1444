"""Errors in Anthropic's shape, for the routes of its API."""

from typing import Any

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: The routes whose errors have this shape.
_ROOT = "/v1/messages"

#: Anthropic's types of errors, by ours. Those of mods are the client's: a retry fails again.
_TYPES = {
    "server_error": "api_error",
    "overloaded": "overloaded_error",
    "mod_error": "invalid_request_error",
}

#: Fields of requests, in messages about those of OpenAI's API.
_NAMES = {
    ".function.parameters": ".input_schema",
    ".function.name": ".name",
    "response_format.json_schema": "output_config.format",
    "response_format": "output_config.format",
}

_OVERLOADED = 529


def anthropic_error(body: dict[str, Any], request_id: str | None) -> dict[str, Any]:
    """Return the body of an error in Anthropic's shape.

    Args:
        body: The body in OpenAI's shape. Fields that only ours have are kept.
        request_id: The request, as logs name it.
    """
    error = {name: value for name, value in body["error"].items() if value is not None}
    kind = error.pop("type", "server_error")
    code = error.get("code")
    error["type"] = code if code == "request_too_large" else _TYPES.get(kind, kind)
    for name in ("message", "param"):
        if name in error:
            error[name] = _renamed(error[name])
    return {"type": "error", "error": error, "request_id": request_id}


def _renamed(text: str) -> str:
    for old, new in _NAMES.items():
        text = text.replace(old, new)
    return text


class AnthropicErrors:
    """Sends errors of Anthropic's routes in its shape, wherever they were made."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application, including what else makes errors."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        path = scope.get("path", "")
        if scope["type"] == "http" and (path == _ROOT or path.startswith(f"{_ROOT}/")):
            send = _Translated(send).send
        await self._app(scope, receive, send)


class _Translated:
    """The response to one request."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None  # of an error, until its body is complete
        self._body = b""

    async def send(self, message: Message) -> None:
        """Send a part of a response; the parts of an error are collected first."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message["headers"]))
            if request_id := headers.get("x-request-id"):
                headers["request-id"] = request_id
            message = {**message, "headers": headers.raw}
            if message["status"] >= 400:
                self._start = message
                return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body"):
            await self._send_error(self._start)

    async def _send_error(self, start: Message) -> None:
        headers = MutableHeaders(raw=start["headers"])
        status = _OVERLOADED if start["status"] == 503 else start["status"]
        body = self._body
        if headers.get("content-type", "").startswith("application/json"):
            error = anthropic_error(msgspec.json.decode(body), headers.get("request-id"))
            body = msgspec.json.encode(error)
            headers["content-length"] = str(len(body))
        await self._send({**start, "status": status, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
