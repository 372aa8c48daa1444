"""The requests to an engine that the body of an HTTP request asks for, without running them."""

from collections.abc import Callable, Mapping

from concordance_shared import InvalidRequestError

from concordance_inference.generation import GenerationRequest
from concordance_inference.server.anthropic.request import messages_request
from concordance_inference.server.context import ServerContext
from concordance_inference.server.openai.chat_request import chat_request
from concordance_inference.server.openai.completion_request import completions_request
from concordance_inference.server.openai.several_choices import choices_of
from concordance_inference.server.responses.response_request import responses_request

Generations = tuple[GenerationRequest, ...]


def _of_chat(raw: bytes, context: ServerContext) -> Generations:
    chat = chat_request(raw, context)
    body = chat.body
    choices = choices_of(body.n, body.best_of, chat.served.engine, streams=bool(body.stream))
    return choices.generations(chat.generation)


_READERS: Mapping[str, Callable[[bytes, ServerContext], Generations]] = {
    "/v1/chat/completions": _of_chat,
    "/v1/completions": lambda raw, context: completions_request(raw, context).generations,
    "/v1/responses": lambda raw, context: (
        responses_request(raw, context, context.responses).generation,
    ),
    "/v1/messages": lambda raw, context: (messages_request(raw, context).generation,),
}


def generations_of(path: str, raw: bytes, context: ServerContext) -> Generations:
    """Return the requests of a body, as the route of a server makes them.

    Args:
        path: The route.
        raw: The body.
        context: The models and mods.

    Raises:
        ConcordanceError: The route refuses the body.
        InvalidRequestError: It is not a route that generates.
    """
    reader = _READERS.get(path)
    if reader is None:
        raise InvalidRequestError(
            f"{path!r:.80} is not a route that generates; expected one of {', '.join(_READERS)}"
        )
    return reader(raw, context)
