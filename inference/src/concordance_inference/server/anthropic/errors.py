"""Errors in Anthropic's shape."""

from typing import Any

from concordance_inference.server.transport import sse

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


def error_events(error: dict[str, Any], request_id: str) -> bytes:
    """The events of a stream that fails before its message begins."""
    return sse.named_event("error", anthropic_error(error, request_id))


def _renamed(text: str) -> str:
    for old, new in _NAMES.items():
        text = text.replace(old, new)
    return text
