"""The ids of completions, whose beginnings name the API that made them."""

from collections.abc import Mapping

from concordance_shared import InvalidRequestError

#: What the ids of each API begin with.
APIS: Mapping[str, str] = {
    "chatcmpl-": "/v1/chat/completions",
    "cmpl-": "/v1/completions",
    "resp_": "/v1/responses",
    "msg_": "/v1/messages",
}


def check_api(completion_id: str, own: str) -> None:
    """Refuse to resume a completion of another API, whose response would have another shape.

    Args:
        completion_id: The id, which may be that of the request, without a beginning.
        own: What the ids of the API begin with that resumes it.

    Raises:
        InvalidRequestError: It is another API's.
    """
    path = next((path for name, path in APIS.items() if completion_id.startswith(name)), None)
    if path is not None and path != APIS[own]:
        raise InvalidRequestError(
            f"resume_from: {completion_id!r:.80} is a completion of {path}; resume it there, not "
            f"through {APIS[own]}",
            param="resume_from",
        )
