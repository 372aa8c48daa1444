"""`POST /v1/chat/completions`."""

from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.chat.message_reader import PlainReader
from concordance_inference.server.chat_choice import ChoiceFields
from concordance_inference.server.chat_request import chat_request
from concordance_inference.server.chat_response import ChatResponse
from concordance_inference.server.context import ServerContext
from concordance_inference.server.exchange import Exchange, respond


async def chat_completions(request: Request) -> Response:
    """Complete a conversation, as one response or as a stream."""
    return await respond(request, _read)


def _read(raw: bytes, context: ServerContext) -> Exchange:
    chat = chat_request(raw, context)
    generations = (chat.generation,)
    fields = ChoiceFields.of(chat.generation, chat.served.chat.token_bytes)
    writer = ChatResponse(
        generations,
        chat.body.model,
        fields,
        PlainReader,
        include_usage=chat.includes_usage,
    )
    return Exchange(
        engine=chat.served.engine,
        generations=generations,
        writer=writer,
        streams=bool(chat.body.stream),
    )
