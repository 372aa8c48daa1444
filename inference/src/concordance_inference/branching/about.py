"""What a response says of the branch that it is."""

from typing import Any

from concordance_inference.branching.branch import Branch
from concordance_inference.generation import Completed, Started


def about_branch(
    branch: Branch | None, completion_id: str, update: Started | Completed | None
) -> dict[str, Any]:
    """Return the field of `concordance` that describes a branch; nothing for other requests.

    Args:
        branch: The branch.
        completion_id: The id of the response.
        update: Has the numbers of tokens; `None` before they are known.
    """
    if branch is None or update is None:
        return {}
    about = {
        "id": completion_id,
        "parent": branch.named,
        "position": branch.position,
        "read_tokens": update.read_tokens,
        "cached_tokens": update.prompt_tokens + branch.num_tokens - update.read_tokens,
    }
    return {"branch": about}
