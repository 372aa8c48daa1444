"""The tree of branches: a bounded record that outlives the tokens of its completions."""

import time
from collections import OrderedDict

from msgspec import Struct, field

from concordance_inference.branching.branch import Branch

#: Limits of the record: completions, and tokens that were put at the positions of branches.
MAX_NODES = 4096
MAX_TOKENS = 2**20


class BranchNode(Struct, kw_only=True, eq=False):
    """A completion that is a branch, or has branches.

    Attributes:
        request_id: Its request.
        model: The id of its model.
        path: The route that began it.
        owner: Who may see it; see `caller`.
        created: When it began, in Unix time; `None` if that is not known.
        parent: The completion that it branches off; `None` for a root, and once that is dropped.
        position: Where it begins to differ; `None` for a root.
        token_ids: The tokens that were put there.
        branches: Those that branch off it, oldest first.
    """

    request_id: str
    model: str
    path: str
    owner: str = ""
    created: float | None = None
    parent: "BranchNode | None" = None
    position: int | None = None
    token_ids: tuple[int, ...] = ()
    branches: list["BranchNode"] = field(default_factory=list["BranchNode"])


class BranchTree:
    """The branches of one application. Belongs to its event loop.

    The completion that was added first is dropped first; its branches are roots from then on.
    """

    def __init__(self, *, max_nodes: int = MAX_NODES, max_tokens: int = MAX_TOKENS) -> None:
        """Start without branches.

        Args:
            max_nodes: The most completions.
            max_tokens: The most tokens that were put at positions, of all of them together.
        """
        self._max_nodes = max_nodes
        self._max_tokens = max_tokens
        self._nodes: OrderedDict[int, BranchNode] = OrderedDict()  # by identity, oldest first
        self._by_request: dict[str, BranchNode] = {}
        self._num_tokens = 0

    def __len__(self) -> int:
        return len(self._nodes)

    def find(self, request_id: str) -> BranchNode | None:
        """Return the completion of a request; `None` if it has no branches and is none."""
        return self._by_request.get(request_id)

    def add(self, request_id: str, branch: Branch, *, model: str, path: str, owner: str) -> None:
        """Add a branch that begins.

        A client may give a request the id of an earlier one, also of the parent. The earlier one
        stays in the tree, and the id finds the new one.

        Args:
            request_id: The request of the branch.
            branch: Where it begins.
            model: The id of its model.
            path: The route that began it.
            owner: Who may see it.
        """
        parent = self._by_request.get(branch.parent)
        if parent is None:
            parent = BranchNode(request_id=branch.parent, model=model, path=path, owner=owner)
            self._put(parent)
        node = BranchNode(
            request_id=request_id,
            model=model,
            path=path,
            owner=owner,
            created=time.time(),
            parent=parent,
            position=branch.position,
            token_ids=branch.added,
        )
        parent.branches.append(node)
        self._put(node)
        while len(self._nodes) > self._max_nodes or self._num_tokens > self._max_tokens:
            self._drop(next(iter(self._nodes.values())))

    def _put(self, node: BranchNode) -> None:
        self._nodes[id(node)] = self._by_request[node.request_id] = node
        self._num_tokens += len(node.token_ids)

    def _drop(self, node: BranchNode) -> None:
        del self._nodes[id(node)]
        self._num_tokens -= len(node.token_ids)
        if self._by_request.get(node.request_id) is node:
            del self._by_request[node.request_id]
        if node.parent is not None:
            node.parent.branches.remove(node)
        for branch in node.branches:
            branch.parent = None
