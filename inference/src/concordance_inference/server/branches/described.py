"""A tree of branches as clients see it."""

from collections.abc import Mapping, Sequence
from typing import Any

from concordance_inference.branching.tree import BranchNode
from concordance_inference.caller import is_own
from concordance_inference.control import RequestStatus
from concordance_inference.generation import EngineClient
from concordance_inference.resume.ended import KeptCompletion

#: The levels of a tree that one response has, above a completion and in all.
MAX_ABOVE = 64
MAX_LEVELS = 128

#: What the ids of responses begin with, by the route.
_PREFIXES: Mapping[str, str] = {
    "/v1/chat/completions": "chatcmpl-",
    "/v1/completions": "cmpl-",
    "/v1/responses": "resp_",
    "/v1/messages": "msg_",
}


def completion_id(node: BranchNode) -> str:
    """Return the id of a response, by which clients know a completion.

    Examples:
        >>> completion_id(BranchNode(request_id="5f 2", model="m", path="/v1/completions"))
        'cmpl-5f:2'
    """
    return _PREFIXES.get(node.path, "") + node.request_id.replace(" ", ":")


class TreeView:
    """What is known of the completions of a tree at one moment."""

    def __init__(
        self, engines: Sequence[EngineClient], statuses: Mapping[str, RequestStatus]
    ) -> None:
        """Look at completions.

        Args:
            engines: Those of the loaded models.
            statuses: How far running requests are, by id.
        """
        self._engines = {engine.model.id: engine for engine in engines}
        self._statuses = statuses

    def of(self, node: BranchNode) -> dict[str, Any]:
        """Return the tree in which a completion is, from its root."""
        root = node
        for _ in range(MAX_ABOVE):
            if root.parent is None or not is_own(root.parent.owner):
                break
            root = root.parent
        return self._described(root, MAX_LEVELS)

    def _described(self, node: BranchNode, num_levels: int) -> dict[str, Any]:
        visible = [branch for branch in tuple(node.branches) if is_own(branch.owner)]
        branches = visible if num_levels > 1 else ()
        hidden = len(visible) - len(branches)
        return {
            "id": completion_id(node),
            "parent": None if node.parent is None else completion_id(node.parent),
            "position": node.position,
            "token_ids": node.token_ids,
            "text": self._text(node),
            "model": node.model,
            "created": node.created and int(node.created),
            **self._state(node.request_id),
            "branches": [self._described(branch, num_levels - 1) for branch in branches],
            **({"more_branches": hidden} if hidden else {}),
        }

    def _text(self, node: BranchNode) -> str | None:
        """What was put at the position; `None` while the model is not loaded."""
        engine = self._engines.get(node.model)
        if engine is None or not node.token_ids:
            return None if node.token_ids else ""
        return engine.control.decode(node.token_ids)

    def _state(self, request_id: str) -> dict[str, Any]:
        if status := self._statuses.get(request_id):
            num_tokens = status.completion_tokens
            return {"state": "running", "finish_reason": None, "completion_tokens": num_tokens}
        if kept := self.kept(request_id):
            ended = kept.ended
            num_tokens = len(ended.token_ids) - ended.prompt_len
            reason = ended.finish_reason
            return {"state": "ended", "finish_reason": reason, "completion_tokens": num_tokens}
        return {"state": "forgotten", "finish_reason": None, "completion_tokens": None}

    def kept(self, request_id: str) -> KeptCompletion | None:
        """Return the completion of a request that has ended, if it is kept."""
        # All engines of a server keep them in one place.
        engine = next(iter(self._engines.values()), None)
        return None if engine is None else engine.ended_completions.of_request(request_id)
