"""Errors in OpenAI's shape: one handler for our own family, one for each of the others."""

import logging
from typing import Any

import msgspec
from concordance_shared import ConcordanceError, EngineError, InvalidRequestError, ModError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.server.context import context_of
from concordance_inference.server.mod_failures import log_failure, own_traceback

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
        "message": _clipped(error.message, _MAX_MESSAGE),
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


def _clipped(text: str, max_length: int) -> str:
    """The text, shortened in its middle: it may quote a long request."""
    if len(text) <= max_length:
        return text
    return f"{text[: max_length // 2]} ... {text[-max_length // 2 :]}"


def error_response(
    error: ConcordanceError, *, request_id: str | None = None, sends_tracebacks: bool = False
) -> Response:
    """An error's response: status, headers and body; the arguments are those of `error_body`."""
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if error.status_code in (429, 503) else None
    return Response(
        msgspec.json.encode(
            error_body(error, request_id=request_id, sends_tracebacks=sends_tracebacks)
        ),
        status_code=error.status_code,
        media_type="application/json",
        headers=headers,
    )


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
    messages = {404: f"there is no {what}", 405: f"{what} is not allowed"}
    error = InvalidRequestError(messages.get(exc.status_code, str(exc.detail)))
    response = error_response(error)
    response.status_code = exc.status_code
    response.headers.update(exc.headers or {})
    return response


async def handle_other(request: Request, exc: Exception) -> Response:
    """Handle an unexpected error: log its traceback, send its type only."""
    logger.error("%s %s failed", request.method, request.scope["path"], exc_info=exc)
    return error_response(
        EngineError(f"the server failed with {type(exc).__name__}; its log has the traceback")
    )


def handlers() -> dict[Any, Any]:
    """The exception handlers of the application."""
    return {ConcordanceError: handle_ours, HTTPException: handle_http, Exception: handle_other}
