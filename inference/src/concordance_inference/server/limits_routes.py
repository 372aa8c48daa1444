"""`/v1/limits`: what a client may send, and how long a request may take."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.generation import MAX_TOP_LOGPROBS
from concordance_inference.mods.banned_strings import MAX_STRINGS
from concordance_inference.mods.upload_payload import MAX_SOURCE_LENGTH
from concordance_inference.mods.uploads import MAX_ALL, MAX_UPLOADS
from concordance_inference.server.limits import limits_of
from concordance_inference.server.openai.completion_request import MAX_PROMPTS
from concordance_inference.server.openai.envelope import MAX_DEPTH, MAX_MESSAGES
from concordance_inference.server.openai.generation_fields import (
    MAX_MODS,
    MAX_STOP_LENGTH,
    MAX_STOPS,
)

#: Limits that no option changes, by the field that they are of.
_FIELDS = {
    "nesting": MAX_DEPTH,
    "messages": MAX_MESSAGES,
    "prompts": MAX_PROMPTS,
    "stop": MAX_STOPS,
    "stop_characters": MAX_STOP_LENGTH,
    "top_logprobs": MAX_TOP_LOGPROBS,
    "banned_strings": MAX_STRINGS,
    "mods": MAX_MODS,
    "mod_source_characters": MAX_SOURCE_LENGTH,
    "uploads_per_owner": MAX_UPLOADS,
    "uploads": MAX_ALL,
}


async def get_limits(request: Request) -> Response:
    """The limits of the server, which its operator sets, and those of fields."""
    body = {"object": "limits", "limits": limits_of(request), "fields": _FIELDS}
    return Response(msgspec.json.encode(body), media_type="application/json")
