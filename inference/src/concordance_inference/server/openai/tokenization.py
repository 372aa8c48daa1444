"""The bodies of `/v1/tokenize` and `/v1/detokenize`, in vLLM's shapes, and what they return."""

from typing import Annotated, Any

from concordance_shared import InvalidRequestError, Tool
from concordance_shared.surrogates import surrogate_fault
from msgspec import Meta, Struct

from concordance_inference.chat.rendering import FIELDS as RENDERING
from concordance_inference.chat.rendering import rendering_of
from concordance_inference.chat.request import check_template_option
from concordance_inference.server.context import ServerContext
from concordance_inference.server.openai.chat_request import decode_messages
from concordance_inference.server.openai.envelope import check_fields, fields_of
from concordance_inference.server.openai.schemas import MAX_MESSAGES, RawMessage
from concordance_inference.server.served_models import ServedModel
from concordance_inference.server.transport.body import decode_body

#: Fields of vLLM that change the result and are not implemented, with their harmless values.
_UNSUPPORTED = {
    "chat_template": (),
    "mm_processor_kwargs": ({},),
}


class TokenizeRequest(Struct, kw_only=True):
    """The body of `POST /v1/tokenize`: a text or a conversation."""

    model: Annotated[str, Meta(max_length=2048)] | None = None
    prompt: str | None = None
    messages: Annotated[list[RawMessage], Meta(min_length=1, max_length=MAX_MESSAGES)] | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    allow_control_tokens: bool | None = None  # names of control tokens in messages become tokens


class DetokenizeRequest(Struct, kw_only=True):
    """The body of `POST /v1/detokenize`."""

    tokens: list[Annotated[int, Meta(ge=0, le=2**53)]]
    model: Annotated[str, Meta(max_length=2048)] | None = None


_TOKENIZE = fields_of(TokenizeRequest, _UNSUPPORTED)
_DETOKENIZE = fields_of(DetokenizeRequest, {})


def tokenized(raw: bytes, context: ServerContext) -> dict[str, Any]:
    """Tokenize the text or the conversation of a body; return the response.

    Raises:
        ConcordanceError: A field is wrong, or names a model that is not there.
    """
    body = decode_body(check_fields(raw, _TOKENIZE), TokenizeRequest)
    served = context.models.named(body.model)
    if (body.prompt is None) == (body.messages is None):
        raise InvalidRequestError(
            "give either `prompt`, a text, or `messages`, a conversation",
            param="prompt" if body.prompt is None else "messages",
        )
    token_ids = _text_ids(body, served) if body.messages is None else _chat_ids(body, served)
    strs = served.chat.token_names(token_ids) if body.return_token_strs else None
    return {
        "count": len(token_ids),
        "max_model_len": served.info.context_length,
        "tokens": token_ids,
        "token_strs": strs,
    }


def detokenized(raw: bytes, context: ServerContext) -> dict[str, Any]:
    """Decode the tokens of a body; return the response.

    Raises:
        ConcordanceError: A field is wrong, or names a model that is not there.
    """
    body = decode_body(check_fields(raw, _DETOKENIZE), DetokenizeRequest)
    served = context.models.named(body.model)
    size = served.info.vocab_size
    for i, token_id in enumerate(body.tokens):
        if token_id >= size:
            raise InvalidRequestError(
                f"tokens[{i}]: {token_id} is not the id of one of this model's {size} tokens",
                param=f"tokens[{i}]",
            )
    return {"prompt": served.chat.decode(body.tokens)}


def _text_ids(body: TokenizeRequest, served: ServedModel) -> list[int]:
    """The tokens of a text."""
    for name in ("tools", "chat_template_kwargs", *RENDERING):
        if getattr(body, name):
            raise InvalidRequestError(
                f"{name} belongs to `messages`, which the chat template renders; leave it out",
                param=name,
            )
    text = body.prompt or ""
    if fault := surrogate_fault(text):
        raise InvalidRequestError(f"prompt: {fault}", param="prompt")
    adds_special = body.add_special_tokens is not False
    return served.chat.tokenize(text, adds_special=adds_special)


def _chat_ids(body: TokenizeRequest, served: ServedModel) -> list[int]:
    """The tokens of a conversation."""
    if body.add_special_tokens:
        raise InvalidRequestError(
            "add_special_tokens: the chat template writes the special tokens of `messages`; "
            "leave it out",
            param="add_special_tokens",
        )
    options = body.chat_template_kwargs or {}
    for name in options:
        check_template_option(name, f"chat_template_kwargs.{name:.80}", served.chat.options)
    for name in ("messages", "tools", "chat_template_kwargs"):
        if fault := surrogate_fault(getattr(body, name)):
            raise InvalidRequestError(f"{name}: {fault}", param=name)
    messages = decode_messages(body.messages or ())
    return served.chat.render(messages, body.tools or (), options, rendering_of(body))
