"""Begins the traces of a request that starts to generate."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from concordance_inference.generation import EngineClient, GenerationRequest

if TYPE_CHECKING:
    from concordance_inference.server.context import ServerContext


def traced(
    engine: EngineClient,
    generations: Sequence[GenerationRequest],
    path: str,
    context: "ServerContext",
    body: bytes | None = None,
) -> tuple[GenerationRequest, ...]:
    """Return generations, with recorders if they are traced.

    Args:
        engine: Runs them.
        generations: Those of one HTTP request.
        path: Its route.
        context: The context of the application.
        body: Its body.
    """
    hub = context.traces
    if all(hub.level_of(generation.trace) == "off" for generation in generations):
        return tuple(generations)
    chat = next(served.chat for served in context.models.loaded if served.engine is engine)
    return hub.begin(
        generations,
        model=engine.model.id,
        path=path,
        texts=chat,
        body=body,
        build=engine.model.build,
        settings=settings_of(context),
    )


def settings_of(context: "ServerContext") -> dict[str, Any]:
    """Return the settings of a server that its requests depend on."""
    return {
        "loop_detection": msgspec.to_builtins(context.loop_detection),
        "truncation": context.truncation,
    }
