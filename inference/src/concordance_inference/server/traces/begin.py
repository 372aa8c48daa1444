"""Begins the traces of a request that starts to generate."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from concordance_inference.generation import EngineClient, GenerationRequest

if TYPE_CHECKING:
    from concordance_inference.server.context import ServerContext


def traced(
    engine: EngineClient,
    generations: Sequence[GenerationRequest],
    path: str,
    context: "ServerContext",
) -> tuple[GenerationRequest, ...]:
    """Return generations, with recorders if they are traced."""
    hub = context.traces
    if all(hub.level_of(generation.trace) == "off" for generation in generations):
        return tuple(generations)
    chat = next(served.chat for served in context.models.loaded if served.engine is engine)
    return hub.begin(generations, model=engine.model.id, path=path, texts=chat)
