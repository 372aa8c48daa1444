"""What the routes work with. Made once, when the application is."""

import msgspec
from starlette.requests import Request

from concordance_inference.chat.format import ChatFormat
from concordance_inference.generation import EngineClient
from concordance_inference.mods.catalog import ModCatalog


class ServerContext(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The engine, the chat format, the mods, and what is allowed."""

    engine: EngineClient
    chat: ChatFormat
    mods: ModCatalog
    allow_uploads: bool  # only while the server listens on a loopback address
    hosts: frozenset[str] = frozenset()  # addresses by which it is reached, beside the usual ones


def context_of(request: Request) -> ServerContext:
    """The context of the application that serves a request."""
    context = request.app.state.context
    assert isinstance(context, ServerContext)
    return context
