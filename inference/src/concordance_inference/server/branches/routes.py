"""`/v1/branches`: which completions branch off which, and each of them as a conversation."""

from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.branching.conversation import conversation_of
from concordance_inference.branching.errors import unknown_completion
from concordance_inference.branching.tree import BranchNode
from concordance_inference.branching.written import WrittenCompletion
from concordance_inference.caller import is_own
from concordance_inference.generation import EngineClient, GenerationRequest
from concordance_inference.resume.ended import request_ids_of
from concordance_inference.server.branches.described import TreeView, completion_id
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.control.requests_routes import statuses_of


async def get_branches(request: Request) -> Response:
    """The tree of branches in which a completion is, also after their tokens are gone."""
    context, name = context_of(request), request.path_params["id"]
    engines = [served.engine for served in context.models.loaded]
    view = TreeView(engines, await statuses_of(engines))
    node = _node(name, context) or _alone(name, context, view)
    if node is None:
        raise unknown_completion(name)

    def encoded() -> bytes:
        tree = {"object": "branches", "id": completion_id(node), "root": view.of(node)}
        return msgspec.json.encode(tree)

    return _json(await context.workers.encode(encoded))


async def get_conversation(request: Request) -> Response:
    """A completion as a conversation: the fields of a request that has it in its prompt."""
    context, name = context_of(request), request.path_params["id"]
    engines = [served.engine for served in context.models.loaded]
    return _json(await context.workers.look_up(partial(_conversation, name, engines)))


def _conversation(name: str, engines: list[EngineClient]) -> bytes:
    engine, written = _written(name, engines)
    head = {"id": name, "object": "conversation", "model": engine.model.id}
    return msgspec.json.encode(head | conversation_of(written))


def _written(name: str, engines: list[EngineClient]) -> tuple[EngineClient, WrittenCompletion]:
    """Find a completion. Blocks while an engine is within a step.

    Raises:
        UnknownCompletionError: There is none.
    """
    for request_id in request_ids_of(name):
        for engine in engines:
            kept = engine.ended_completions.of_request(request_id)
            if kept is not None and kept.model != engine.model.id:
                continue
            if (written := engine.written(name)) is not None:
                return engine, written
    raise unknown_completion(name)


def _node(name: str, context: ServerContext) -> BranchNode | None:
    """Return a completion that has branches, or is one."""
    found = (context.branches.find(request_id) for request_id in request_ids_of(name))
    return next((node for node in found if node is not None and is_own(node.owner)), None)


def _alone(name: str, context: ServerContext, view: TreeView) -> BranchNode | None:
    """Return a completion without branches."""
    for request_id in request_ids_of(name):
        running = context.running.find(request_id.partition(" ")[0])
        is_visible = running is not None and all(map(_is_own, running.generations))
        if running is not None and running.engine is not None and is_visible:
            model, path, created = running.engine.model.id, running.path, running.created
            return BranchNode(request_id=request_id, model=model, path=path, created=created)
        if kept := view.kept(request_id):
            return BranchNode(request_id=request_id, model=kept.model, path="")
    return None


def _is_own(generation: GenerationRequest) -> bool:
    return is_own(generation.owner)


def _json(data: bytes) -> Response:
    return Response(data, media_type="application/json")
