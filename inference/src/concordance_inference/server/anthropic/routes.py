"""`POST /v1/messages` and `POST /v1/messages/count_tokens`, of Anthropic's API."""

from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.chat.readers import reader_factory
from concordance_inference.server.anthropic.errors import error_events
from concordance_inference.server.anthropic.request import messages_request, num_prompt_tokens
from concordance_inference.server.anthropic.response import PING, MessageResponse
from concordance_inference.server.context import ServerContext
from concordance_inference.server.exchange import Exchange, respond
from concordance_inference.server.openai.chat_choice import ChoiceFields
from concordance_inference.server.openai.tokenization_routes import respond_with


async def messages(request: Request) -> Response:
    """Complete a conversation in the shape of Anthropic's API, as one response or as a stream."""
    return await respond(request, _read, error_events=error_events, keep_alive=PING)


async def count_tokens(request: Request) -> Response:
    """Count the tokens of a conversation in the shape of Anthropic's API."""
    return await respond_with(request, num_prompt_tokens)


def _read(raw: bytes, context: ServerContext) -> Exchange:
    asked = messages_request(raw, context)
    generation = asked.generation
    writer = MessageResponse(
        generation,
        asked.body.model,
        ChoiceFields.of(generation, asked.served.chat.token_bytes, (), asked.body.resume_from),
        reader_factory(generation)(),
        context_length=asked.served.info.context_length,
        omits_thinking=asked.omits_thinking,
    )
    return Exchange(
        engine=asked.served.engine,
        generations=(generation,),
        writer=writer,
        streams=bool(asked.body.stream),
    )
