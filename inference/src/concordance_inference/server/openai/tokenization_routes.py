"""`/v1/tokenize`, `/v1/detokenize`, `/v1/tokenizer_info`, `/v1/chat/completions/render`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.openai.chat_request import chat_request
from concordance_inference.server.openai.tokenization import detokenized, tokenized
from concordance_inference.server.served_models import ServedModel
from concordance_inference.server.transport.body import read_raw
from concordance_inference.server.transport.disconnect import unless_disconnected

Work = Callable[[bytes, ServerContext], dict[str, Any]]


async def tokenize(request: Request) -> Response:
    """Return the tokens of a text or of a conversation."""
    return await respond_with(request, tokenized)


async def detokenize(request: Request) -> Response:
    """Return the text of tokens."""
    return await respond_with(request, detokenized)


async def render(request: Request) -> Response:
    """Return the prompt of a chat request, as token ids and as text, and generate nothing."""
    return await respond_with(request, _rendered)


async def tokenizer_info(request: Request) -> Response:
    """Return the special tokens and the chat template of a model, as vLLM does.

    lm-eval's remote tokenizer reads it.
    """
    context = context_of(request)
    named = context.model(request.query_params.get("model"))
    served = await unless_disconnected(request, named)
    data = await context.workers.look_up(lambda: msgspec.json.encode(_info(served)))
    return Response(data, media_type="application/json")


def _info(served: ServedModel) -> dict[str, Any]:
    length = served.info.context_length
    return {**served.chat.tokenizer_info(), "model_max_length": length}


def _rendered(raw: bytes, context: ServerContext) -> dict[str, Any]:
    chat = chat_request(raw, context)
    token_ids = chat.generation.prompt_ids
    return {
        "object": "chat.completion.prompt",
        "model": chat.body.model,
        "count": len(token_ids),
        "max_model_len": chat.served.info.context_length,
        "token_ids": token_ids,
        "text": chat.served.chat.decode(token_ids),
    }


async def respond_with(request: Request, work: Work) -> Response:
    """Respond with what a function makes of the body, on a background thread, encoding included."""
    context = context_of(request)
    raw = await read_raw(request)
    encoded = partial(_encoded, work, raw, context)
    data = await unless_disconnected(request, context.read(encoded, num_bytes=len(raw)))
    return Response(data, media_type="application/json")


def _encoded(work: Work, raw: bytes, context: ServerContext) -> bytes:
    return msgspec.json.encode(work(raw, context))
