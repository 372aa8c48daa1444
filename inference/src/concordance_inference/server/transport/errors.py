"""Errors in OpenAI's shape: one handler for our own family, one for each of the others."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import msgspec
from concordance_shared import (
    ConcordanceError,
    EngineError,
    InvalidRequestError,
    ModelLoadError,
    ModError,
    NumericalError,
    RequestError,
)
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from concordance_inference.server.context import context_of
from concordance_inference.server.limits import RequestTimeLimitError
from concordance_inference.server.operations.request_record import current_record
from concordance_inference.server.transport.file_paths import without_folders
from concordance_inference.server.transport.mod_failures import log_failure, own_traceback

logger = logging.getLogger(__name__)

#: Seconds after which a client that was refused for load may try again.
_RETRY_AFTER_S = 1

#: The longest message, in characters.
_MAX_MESSAGE = 2000

#: The longest traceback, in characters.
_MAX_TRACEBACK = 8000


def error_body(
    error: ConcordanceError, *, request_id: str | None = None, sends_tracebacks: bool = False
) -> dict[str, Any]:
    """An error's body in OpenAI's shape; that of a mod also says where the mod failed.

    All have the reports that mods made before, if any.

    Args:
        error: The error.
        request_id: The request, as logs name it.
        sends_tracebacks: True to send the source lines of the operator's mods.
    """
    fields: dict[str, Any] = {
        "message": _clipped(_for_clients(error), _MAX_MESSAGE),
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    if isinstance(error, ModError):
        trace = own_traceback(error, includes_operators=sends_tracebacks)
        fields |= {
            "mod": error.mod,
            "event": error.event,
            "step": error.step,
            "request_id": request_id,
            "traceback": trace and _clipped(trace, _MAX_TRACEBACK),
        }
    if error.reports:
        fields["reports"] = error.reports
    return {"error": fields}


def _for_clients(error: ConcordanceError) -> str:
    """The message: the folders of the server's models are for its log only."""
    is_of_files = isinstance(error, ModelLoadError)
    return without_folders(error.message) if is_of_files else error.message


def _clipped(text: str, max_length: int) -> str:
    """The text, shortened in its middle: it may quote a long request."""
    if len(text) <= max_length:
        return text
    return f"{text[: max_length // 2]} ... {text[-max_length // 2 :]}"


def encoded_error(error: ConcordanceError) -> bytes:
    """Encode an error's body as JSON."""
    return msgspec.json.encode(error_body(error))


def error_response(
    error: ConcordanceError,
    *,
    request_id: str | None = None,
    sends_tracebacks: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error's response: status, headers and body.

    Args:
        error: The error.
        request_id: As in `error_body`.
        sends_tracebacks: As in `error_body`.
        headers: Further headers.
    """
    current_record().fail(error)
    return Response(
        msgspec.json.encode(
            error_body(error, request_id=request_id, sends_tracebacks=sends_tracebacks)
        ),
        status_code=error.status_code,
        media_type="application/json",
        headers={**error_headers(error), **(headers or {})},
    )


def error_headers(error: ConcordanceError) -> dict[str, str]:
    """The headers that say when a retry can succeed, or that none can.

    OpenAI's clients retry 408, 409, 429 and 5xx twice, and obey both headers.
    """
    if error.status_code in (429, 503):
        seconds = getattr(error, "retry_after_s", _RETRY_AFTER_S)
        return {"Retry-After": str(max(1, math.ceil(seconds)))}
    fails_again = error.status_code < 500 and error.status_code != 408
    if fails_again or isinstance(error, _FAIL_AGAIN):
        return {"X-Should-Retry": "false"}
    return {}


async def handle_ours(request: Request, exc: Exception) -> Response:
    """Handle an error of our own family."""
    assert isinstance(exc, ConcordanceError)
    if exc.status_code >= 500:
        logger.error("%s %s: %s", request.method, request.scope["path"], exc)
    request_id = getattr(request.state, "request_id", None)
    log_failure(exc, request_id)
    context = context_of(request)
    return error_response(exc, request_id=request_id, sends_tracebacks=context.sends_tracebacks)


async def handle_http(request: Request, exc: Exception) -> Response:
    """Handle an error of the router: no such route, or not with this method."""
    assert isinstance(exc, HTTPException)
    what = f"{request.method} {request.scope['path'][:200]}"
    error: ConcordanceError = InvalidRequestError(str(exc.detail))
    if exc.status_code == 404:
        error = RouteNotFoundError(f"there is no {what}; docs/server.md lists all routes")
    elif exc.status_code == 405:
        allowed = ", ".join(_allowed(request))
        error = MethodNotAllowedError(f"{what} is not allowed; use {allowed}")
        return error_response(error, headers={"Allow": allowed})
    return error_response(error)


def _allowed(request: Request) -> list[str]:
    """The methods of all routes with the path of a request."""
    routes = request.app.routes
    matching = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
    return sorted({method for route in matching for method in route.methods})


class RouteNotFoundError(RequestError):
    """No route has the path of the request."""

    status_code = 404
    type = "not_found_error"
    code = "route_not_found"


class MethodNotAllowedError(RequestError):
    """The route exists, with other methods."""

    status_code = 405
    code = "method_not_allowed"


class UnexpectedError(EngineError):
    """The server has a bug: it raised an exception that nothing expects."""

    code = "internal_error"


#: Errors of the server that the same request meets again.
_FAIL_AGAIN = (UnexpectedError, ModelLoadError, NumericalError, RequestTimeLimitError)


def unexpected(exc: Exception) -> UnexpectedError:
    """The error that a client receives in place of an unexpected exception."""
    return UnexpectedError(
        f"the server failed with {type(exc).__name__}; its log has the traceback"
    )


def handlers() -> dict[Any, Any]:
    """The exception handlers of the application."""
    return {ConcordanceError: handle_ours, HTTPException: handle_http}
