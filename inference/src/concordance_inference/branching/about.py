"""The fields of a response that describe its branch."""

from typing import Any

from msgspec import Struct

from concordance_inference.branching.branch import Branch
from concordance_inference.generation import Completed, Started


class BranchedFrom(Struct, frozen=True, kw_only=True):
    """Where a completion branched off another one, and what that took.

    Attributes:
        id: The completion.
        parent: The other one, as the request named it.
        position: The tokens of the other one that it begins with.
        read_tokens: Tokens of the prompt and of the beginning that were processed before the first
            new token.
        cached_tokens: Those that were in the KV cache.
    """

    id: str
    parent: str
    position: int
    read_tokens: int
    cached_tokens: int


def branched_from(
    branch: Branch | None, completion_id: str, update: Started | Completed
) -> BranchedFrom | None:
    """Return where a completion branched off; `None` for one that is no branch.

    Args:
        branch: The branch.
        completion_id: The id of the response.
        update: Has the numbers of tokens.
    """
    if branch is None:
        return None
    return BranchedFrom(
        id=completion_id,
        parent=branch.named,
        position=branch.position,
        read_tokens=update.read_tokens,
        cached_tokens=update.prompt_tokens + branch.num_tokens - update.read_tokens,
    )


def about_branch(
    branch: Branch | None, completion_id: str, update: Started | Completed | None
) -> dict[str, Any]:
    """Return the field of `concordance` that describes a branch; nothing for other requests.

    The arguments are those of `branched_from`; without an update, nothing is known yet.
    """
    found = update and branched_from(branch, completion_id, update)
    return {"branch": found} if found else {}
