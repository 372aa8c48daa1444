"""`POST /v1/completions`."""

from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.server.context import ServerContext
from concordance_inference.server.exchange import Exchange, respond
from concordance_inference.server.openai.completion_request import completions_request
from concordance_inference.server.openai.completion_response import CompletionResponse


async def completions(request: Request) -> Response:
    """Continue one or several prompts, as one response or as a stream."""
    return await respond(request, _read)


def _read(raw: bytes, context: ServerContext) -> Exchange:
    asked = completions_request(raw, context)
    return Exchange(
        engine=asked.served.engine,
        generations=asked.generations,
        writer=CompletionResponse(asked),
        streams=bool(asked.body.stream),
    )
