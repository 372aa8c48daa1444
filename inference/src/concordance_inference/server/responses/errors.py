"""Errors of requests that name a response or an item that is not stored."""

from typing import Any, ClassVar

from concordance_shared import InvalidRequestError, RequestError

from concordance_inference.server.transport import sse


class UnknownResponseError(RequestError):
    """There is no response of this id."""

    status_code: ClassVar[int] = 404
    type: ClassVar[str] = "not_found_error"
    code: ClassVar[str] = "response_not_found"


class UnknownItemError(RequestError):
    """There is no item of this id, which an `item_reference` names."""

    status_code: ClassVar[int] = 404
    type: ClassVar[str] = "not_found_error"
    code: ClassVar[str] = "item_not_found"


class PreviousResponseError(InvalidRequestError):
    """There is no response with the id in `previous_response_id`: status and code are OpenAI's."""

    code: ClassVar[str] = "previous_response_not_found"


class EncryptedContentError(InvalidRequestError):
    """The `encrypted_content` of a reasoning item is not that of this server."""

    code: ClassVar[str] = "invalid_encrypted_content"


def error_events(error: dict[str, Any], request_id: str) -> bytes:
    """The events of a stream that fails before its response is created."""
    del request_id
    fields = {name: error["error"][name] for name in ("code", "message", "param")}
    return sse.named_event("error", {"type": "error", **fields, "sequence_number": 0})
