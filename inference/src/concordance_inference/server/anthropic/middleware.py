"""Gives responses Anthropic's shape that routes of several APIs, or no route, have made."""

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from concordance_inference.server.anthropic.errors import anthropic_error
from concordance_inference.server.anthropic.models import anthropic_models

_MESSAGES = "/v1/messages"
_MODELS = "/v1/models"

#: Anthropic's status of a server that cannot take a request, in place of 503.
_OVERLOADED = 529

Body = dict[str, Any]


class AnthropicShapes:
    """Translates responses, wherever they were made.

    Errors below `/v1/messages`; models and errors below `/v1/models`, if the request has the header
    `anthropic-version`, since OpenAI's API has the same routes.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application, including what else makes errors."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http":
            if _is_below(scope, _MESSAGES):
                send = _Translated(send, None).send
            elif _is_below(scope, _MODELS) and "anthropic-version" in Headers(scope=scope):
                send = _Translated(send, anthropic_models).send
        await self._app(scope, receive, send)


def _is_below(scope: Scope, root: str) -> bool:
    path = scope["path"]
    return path == root or path.startswith(f"{root}/")


class _Translated:
    """The response to one request."""

    def __init__(self, send: Send, translate: Callable[[Body], Body] | None) -> None:
        """Translate a response.

        Args:
            send: Sends it.
            translate: Translates a body that is no error; `None` to leave it as it is.
        """
        self._send = send
        self._translate = translate
        self._start: Message | None = None  # until the body to translate is complete
        self._body = b""

    async def send(self, message: Message) -> None:
        """Send a part of a response; the parts of one to translate are collected first."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message["headers"]))
            if request_id := headers.get("x-request-id"):
                headers["request-id"] = request_id
            message = {**message, "headers": headers.raw}
            if message["status"] >= 400 or self._translate:
                self._start = message
                return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body"):
            await self._send_translated(self._start)

    async def _send_translated(self, start: Message) -> None:
        headers = MutableHeaders(raw=start["headers"])
        status = _OVERLOADED if start["status"] == 503 else start["status"]
        body = self._body
        if headers.get("content-type", "").startswith("application/json"):
            body = msgspec.json.encode(self._translated(msgspec.json.decode(body), headers, status))
            headers["content-length"] = str(len(body))
        await self._send({**start, "status": status, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def _translated(self, body: Body, headers: MutableHeaders, status: int) -> Body:
        if status >= 400:
            return anthropic_error(body, headers.get("request-id"))
        return self._translate(body) if self._translate else body
