"""What a server asks of the sandbox: a mod at work for one request."""

from collections.abc import Mapping
from typing import Any

import msgspec
from concordance_shared import Conversation
from msgspec import Raw, Struct

from concordance_inference.sandbox.protocol.events import Begin, ChannelsSpec, ModSource

#: The model of workers that only describe a mod, or test the sandbox.
NO_MODEL = ""


class LeaseRequest(Struct, frozen=True, kw_only=True, eq=False):
    """A mod of a request.

    Attributes:
        source: The mod.
        parameters: As the client sent them; the worker validates them.
        strict: False accepts strings for numbers.
        param: The request's field with the mod, for messages.
        model: The id of the model.
        request_id: The request.
        owner: Who sends it.
        conversation: Its messages, tools and response format.
        given: The beginning of the completion, if an earlier request generated it.
        channels: How the model marks channels.
    """

    source: ModSource
    parameters: Mapping[str, Any] = {}
    strict: bool = True
    param: str = "mods[0]"
    model: str = NO_MODEL
    request_id: str = ""
    owner: str = ""
    conversation: Conversation = Conversation()
    given: tuple[int, ...] = ()
    channels: ChannelsSpec | None = None


def begin_of(request: LeaseRequest, *, describes: bool = False) -> Begin:
    """Return the first message to a worker.

    Args:
        request: The mod and the request.
        describes: True to describe the mod and to make no instance.
    """
    return Begin(
        source=request.source,
        parameters=Raw(msgspec.msgpack.encode(request.parameters)),
        strict=request.strict,
        param=request.param,
        model=request.model,
        request_id=request.request_id,
        conversation=request.conversation,
        given=request.given,
        channels=request.channels,
        describes=describes,
    )
