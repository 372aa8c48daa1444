"""Requests to a running server, for commands that use one."""

import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import msgspec
from concordance_shared import ConcordanceError, InvalidRequestError, ModReport

from concordance_inference.cli.listener import is_loopback
from concordance_inference.keys.upload_key import found_upload_key

#: Seconds without a byte after which a server is given up. Streams send comments while they wait.
_TIMEOUT_S = 60

#: Statuses of servers that need a key.
_WITHOUT_KEY = (401, 429)

_Response = http.client.HTTPResponse


class ServerRefusedError(ConcordanceError):
    """The server responded with an error, or not at all."""

    def __init__(self, message: str, *, status: int | None = None, body: Any = None) -> None:
        """Create an error.

        Args:
            message: What the server said, or why there is none.
            status: The HTTP status; `None` if there was no response.
            body: The decoded body, if it is JSON.
        """
        super().__init__(message)
        self.status = status
        self.body = body
        self.traceback: str | None = None  # of a mod that raised, if the server sends it


class ServerClient:
    """A running server, by its URL."""

    def __init__(self, url: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        """Check the URL; a path `/v1`, as clients of OpenAI's API need it, is accepted.

        Args:
            url: The server's URL.
            timeout_s: Seconds without a byte after which the server is given up.

        Raises:
            InvalidRequestError: It is not one of HTTP.
        """
        if not url.startswith(("http://", "https://")):
            raise InvalidRequestError(f"--url {url}: write it with http:// or https://")
        self.url = url.rstrip("/").removesuffix("/v1")
        self._timeout_s = timeout_s

    def model(self) -> str:
        """Return the id of the served model.

        Raises:
            ServerRefusedError: There is no server, or one of another kind.
        """
        try:
            health = self.call("GET", "/healthz")
        except ServerRefusedError as exc:
            if exc.status is None:
                raise
            health = exc.body
        if isinstance(health, dict) and "status" in health and "model" not in health:
            self._refuse_without_key()
        model = cast(dict[str, Any], health).get("model") if isinstance(health, dict) else None
        if not isinstance(model, str):
            raise ServerRefusedError(
                f"the server at {self.url} is not a Concordance server: GET /healthz does not "
                "name a model; start one with `concordance serve`"
            )
        return model

    def _refuse_without_key(self) -> None:
        """Raise what a server responds that names its model to callers with a key only.

        Raises:
            ServerRefusedError: It is one.
        """
        try:
            self.call("GET", "/v1/models")
        except ServerRefusedError as exc:
            if exc.status in _WITHOUT_KEY:
                raise

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request and decode the response.

        Raises:
            ServerRefusedError: It is an error, or there is none.
        """
        with self._response(method, path, body) as response:
            return msgspec.json.decode(response.read())

    def events(self, path: str, body: Any) -> Iterator[dict[str, Any]]:
        """Send a request and yield the events of its stream, until the last.

        Closing the iterator closes the connection, which cancels the request.

        Raises:
            ServerRefusedError: The response is an error or ends early, or there is none.
        """
        with self._response("POST", path, body) as response:
            for line in response:
                data = line.removeprefix(b"data: ").strip()
                if data == b"[DONE]":
                    return
                if line.startswith(b"data: "):
                    yield msgspec.json.decode(data)
        raise ServerRefusedError(f"the server at {self.url} ended the stream early")

    @contextmanager
    def _response(self, method: str, path: str, body: Any) -> Generator[_Response]:
        data = None if body is None else msgspec.json.encode(body)
        try:
            request = urllib.request.Request(f"{self.url}{path}", data, method=method)  # noqa: S310
            request.add_header("Content-Type", "application/json")
            if key := key_for(self.url):
                request.add_unredirected_header("Authorization", f"Bearer {key}")
        except ValueError as exc:
            raise InvalidRequestError(f"--url {self.url}: {exc}") from exc
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:  # noqa: S310
                yield cast(_Response, response)
        except urllib.error.HTTPError as exc:
            raise _refused(exc) from exc
        except (OSError, http.client.HTTPException, msgspec.DecodeError, ValueError) as exc:
            raise ServerRefusedError(
                f"no Concordance server at {self.url} ({exc}); start one with `concordance serve`"
            ) from exc


def key_for(url: str) -> str | None:
    """Return the key that a server is sent: that of CONCORDANCE_API_KEY.

    Without the variable, a server on this machine is sent the upload key that it has made.

    Args:
        url: The server's URL.
    """
    if given := os.environ.get("CONCORDANCE_API_KEY"):
        return given
    host = urllib.parse.urlsplit(url).hostname
    return found_upload_key() if host and is_loopback(host) else None


def quoted(name: str) -> str:
    """Quote a name for the path of a URL."""
    return urllib.parse.quote(name, safe="")


def refusal(
    error: Mapping[str, Any], *, status: int | None = None, body: Any = None
) -> ServerRefusedError:
    """Make an error of one in OpenAI's shape, with the reports that were made before it."""
    refused = ServerRefusedError(str(error["message"]), status=status, body=body)
    refused.traceback = error.get("traceback")
    refused.reports = reports_of(error.get("reports") or ())
    return refused


def reports_of(reports: Any) -> tuple[ModReport, ...]:
    """Decode the reports of a response."""
    return msgspec.convert(reports, tuple[ModReport, ...])


def _refused(error: urllib.error.HTTPError) -> ServerRefusedError:
    raw, body = error.read(), None
    try:
        body = msgspec.json.decode(raw)
        if error.code == 401:
            body["error"]["message"] += "; commands send the key in CONCORDANCE_API_KEY"
        return refusal(body["error"], status=error.code, body=body)
    except (msgspec.DecodeError, msgspec.ValidationError, LookupError, TypeError):
        message = f"{error.code} {raw[:200].decode(errors='replace')}"
        return ServerRefusedError(message, status=error.code, body=body)
