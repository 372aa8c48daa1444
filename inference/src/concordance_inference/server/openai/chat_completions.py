"""`POST /v1/chat/completions`."""

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.chat.readers import reader_factory
from concordance_inference.server.context import ServerContext
from concordance_inference.server.exchange import Exchange, respond
from concordance_inference.server.openai.chat_choice import ChoiceFields
from concordance_inference.server.openai.chat_request import chat_request
from concordance_inference.server.openai.chat_response import ChatResponse
from concordance_inference.server.openai.mod_debug_logs import DebugLogs, debug_logs_format
from concordance_inference.server.openai.reasoning_fields import reasoning_place
from concordance_inference.server.openai.reasoning_names import field_names
from concordance_inference.server.openai.several_choices import choices_of


async def chat_completions(request: Request) -> Response:
    """Complete a conversation, as one response or as a stream."""
    return await respond(request, _read)


def _read(raw: bytes, context: ServerContext) -> Exchange:
    chat = chat_request(raw, context)
    body = chat.body
    choices = choices_of(body.n, body.best_of, chat.served.engine, streams=bool(body.stream))
    form = debug_logs_format(
        body.mod_debug_logs,
        streams=bool(body.stream),
        choices=choices.n,
        traced=chat.generation.trace in (None, "tokens"),
    )
    generation = replace(chat.generation, trace="tokens") if form else chat.generation
    generations = choices.generations(generation)
    names = field_names(chat.body.reasoning_field or context.reasoning_field)
    token_bytes = chat.served.chat.token_bytes
    fields = ChoiceFields.of(chat.generation, token_bytes, names, body.resume_from)
    writer = ChatResponse(
        generations,
        chat.body.model,
        fields,
        reader_factory(chat.generation, reasoning=reasoning_place(chat.body)),
        include_usage=chat.includes_usage,
        choices=choices,
        debug_logs=form and DebugLogs(form, generations[0].request_id, context.traces),
    )
    return Exchange(
        engine=chat.served.engine,
        generations=generations,
        writer=writer,
        streams=bool(chat.body.stream),
    )
