"""What the routes share. Made once per application."""

import msgspec
from starlette.requests import Request

from concordance_inference.chat.format import ChatFormat
from concordance_inference.generation import EngineClient
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.server.work import Workers


class ServerContext(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The engine, the chat format, the mods and the worker threads of an application."""

    engine: EngineClient
    chat: ChatFormat
    mods: ModCatalog
    hosts: frozenset[str] = frozenset()  # its addresses besides the usual loopback names
    sends_tracebacks: bool = False  # of the operator's mods, to clients
    workers: Workers = msgspec.field(default_factory=Workers)


def context_of(request: Request) -> ServerContext:
    """The context of the application that serves a request."""
    context = request.app.state.context
    assert isinstance(context, ServerContext)
    return context
