"""`POST /v1/embeddings`, for models that are made for it."""

import base64
import struct
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from concordance_shared import ContextLengthError, InvalidRequestError
from concordance_shared.surrogates import surrogate_fault
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.generation import EmbeddingClient
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.openai.envelope import check_fields, fields_of
from concordance_inference.server.openai.text_lists import listed
from concordance_inference.server.served_models import ServedModel
from concordance_inference.server.transport.body import decode_body, read_raw
from concordance_inference.server.transport.disconnect import unless_disconnected

#: The most texts of a request, as in OpenAI's API.
MAX_INPUTS = 2048

TokenId = Annotated[int, Meta(ge=0, le=2**53)]


class EmbeddingRequest(Struct, kw_only=True):
    """The body of `POST /v1/embeddings`."""

    model: Annotated[str, Meta(max_length=2048)]
    input: str | list[str | TokenId | list[TokenId]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=2**31)] | None = None


_FIELDS = fields_of(EmbeddingRequest, {})


class Inputs(Struct, frozen=True, kw_only=True, eq=False):
    """The texts of a request, tokenized."""

    body: EmbeddingRequest
    embedder: EmbeddingClient
    texts: list[list[int]]

    @property
    def num_tokens(self) -> int:
        """Tokens of all texts."""
        return sum(map(len, self.texts))


async def embeddings(request: Request) -> Response:
    """Return a vector for each text, of models that are made for it."""
    context = context_of(request)
    raw = await read_raw(request)
    reading = context.read(partial(inputs_of, raw, context), num_bytes=len(raw))
    inputs = await unless_disconnected(request, reading)
    vectors = await unless_disconnected(request, _embedded(inputs))
    data = await context.workers.encode(lambda: _encoded(inputs, vectors))
    return Response(data, media_type="application/json")


async def _embedded(inputs: Inputs) -> list[list[float]]:
    embed, dimensions = inputs.embedder.embed, inputs.body.dimensions
    return [await embed(token_ids, dimensions) for token_ids in inputs.texts]


def inputs_of(raw: bytes, context: ServerContext) -> Inputs:
    """Decode and check a body, and tokenize its texts.

    Raises:
        ConcordanceError: A field is wrong, or names a model that is not there or embeds nothing.
        ModelNotLoadedError: The model has to be loaded first.
    """
    body = decode_body(check_fields(raw, _FIELDS), EmbeddingRequest)
    given = listed(body.input, field="input", each="texts", most=MAX_INPUTS)
    served = context.models.named(body.model)
    embedder = served.embedder
    if embedder is None:
        raise InvalidRequestError(
            f"model: {served.info.id!r:.120} makes no embeddings: {served.no_embedder}",
            param="model",
        )
    if body.dimensions is not None and body.dimensions > embedder.size:
        raise InvalidRequestError(
            f"dimensions is {body.dimensions}; embeddings of this model have {embedder.size}",
            param="dimensions",
        )
    is_list = given[0] is not body.input
    texts = [
        _token_ids(text, served, embedder, f"input[{i}]" if is_list else "input")
        for i, text in enumerate(given)
    ]
    return Inputs(body=body, embedder=embedder, texts=texts)


def _token_ids(
    text: str | Sequence[int], served: ServedModel, embedder: EmbeddingClient, at: str
) -> list[int]:
    """Tokenize a text, and check its tokens."""
    if isinstance(text, str):
        if fault := surrogate_fault(text):
            raise InvalidRequestError(f"{at}: {fault}", param=at)
        token_ids = embedder.tokenize(text)
    else:
        token_ids = list(text)
    size, limit = served.info.vocab_size, served.info.context_length
    for i, token_id in enumerate(token_ids):
        if token_id >= size:
            raise InvalidRequestError(
                f"{token_id} is not the id of one of this model's {size} tokens",
                param=f"{at}[{i}]",
            )
    if not token_ids:
        raise InvalidRequestError(f"{at} is empty; give at least one token", param=at)
    if len(token_ids) > limit:
        raise ContextLengthError(
            f"{at} has {len(token_ids)} tokens; the model's context has {limit}", param=at
        )
    return token_ids


def _encoded(inputs: Inputs, vectors: list[list[float]]) -> bytes:
    is_base64 = inputs.body.encoding_format == "base64"
    data = [
        {
            "object": "embedding",
            "index": i,
            "embedding": _base64(vector) if is_base64 else vector,
        }
        for i, vector in enumerate(vectors)
    ]
    usage: dict[str, Any] = {"prompt_tokens": inputs.num_tokens, "total_tokens": inputs.num_tokens}
    body = {"object": "list", "data": data, "model": inputs.body.model, "usage": usage}
    return msgspec.json.encode(body)


def _base64(vector: list[float]) -> str:
    """The vector as float32 in little-endian order, as OpenAI's clients decode it."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
