"""The request for a completion that branches off another one."""

from collections.abc import Mapping
from typing import Any

from concordance_shared import InvalidRequestError
from concordance_shared.prompt_length import check_prompt_length
from msgspec.structs import replace

from concordance_inference.branching.branch import Branch, BranchPoint, num_draws
from concordance_inference.engine.config import ModelTraits
from concordance_inference.engine.request.endings import ending_ids
from concordance_inference.generation import GenerationRequest, new_request_id
from concordance_inference.resume.ended import EndedCompletion
from concordance_inference.resume.request import changed_request


def branched_request(
    parent: EndedCompletion,
    point: BranchPoint,
    changes: Mapping[str, Any],
    traits: ModelTraits,
) -> GenerationRequest:
    """Return the request for a completion that branches off another one.

    Args:
        parent: The other completion.
        point: Where the branch begins.
        changes: Fields of the request that differ, as for `resumed_request`; `max_tokens` counts
            the whole completion.
        traits: The model's.

    Raises:
        InvalidRequestError: The position or a token is out of range, or there is no room.
        ContextLengthError: The tokens fill the context.
    """
    _check_rounds(parent, point)
    _check_position(parent, point.position)
    added = _added(point, traits)
    token_ids = parent.token_ids[parent.prompt_len :][: point.position]
    forced_by = parent.forced_by[: point.position]
    branch = Branch(
        parent=parent.request.request_id,
        named=point.id,
        token_ids=tuple(token_ids),
        forced_by=tuple(forced_by),
        added=added,
        num_sampled=num_draws(forced_by, len(added)),
    )
    changes = dict(changes)
    limit = changes.pop("max_tokens", None)
    limit = parent.request.max_completion if limit is None else limit
    _check_room(limit, branch)
    rest = None if limit is None else limit - branch.position
    request = changed_request(parent, {**changes, "max_tokens": rest})
    request = replace(request, request_id=new_request_id(), beginning=None, branch=branch)
    _check_is_open(request, traits)
    check_prompt_length(
        len(request.prompt_ids) + branch.num_tokens,
        traits.context_length,
        param="branch_from",
        remedy="branch at an earlier token",
    )
    return request


def _check_rounds(parent: EndedCompletion, point: BranchPoint) -> None:
    """Refuse a completion of several rounds, of which only the last one is kept."""
    turn = parent.request.harmony
    if turn is not None and turn.num_calls:
        raise InvalidRequestError(
            f"branch_from.id: {point.id!r:.80} has called tools that the server ran, and cannot be "
            "branched from; send its conversation as messages instead",
            param="branch_from.id",
        )


def _check_position(parent: EndedCompletion, position: int) -> None:
    length = len(parent.token_ids) - parent.prompt_len
    if position > length:
        raise InvalidRequestError(
            f"branch_from.position: {position} is out of range, the completion has {length} "
            f"tokens; give 0 to {length}",
            param="branch_from.position",
        )


def _added(point: BranchPoint, traits: ModelTraits) -> tuple[int, ...]:
    if point.text:
        if point.token_ids:
            raise InvalidRequestError(
                "branch_from.text: token_ids are given too; leave one of them out",
                param="branch_from.text",
            )
        return tuple(traits.tokenizer.encode(point.text))
    for i, token_id in enumerate(point.token_ids or ()):
        if token_id >= traits.vocab_size:
            raise InvalidRequestError(
                f"branch_from.token_ids[{i}]: {token_id} is not the id of one of this model's "
                f"{traits.vocab_size} tokens",
                param=f"branch_from.token_ids[{i}]",
            )
    return tuple(point.token_ids or ())


def _check_room(limit: int | None, branch: Branch) -> None:
    if limit is not None and limit < branch.num_tokens:
        raise InvalidRequestError(
            f"max_tokens: the branch begins with {branch.num_tokens} tokens, of which "
            f"{branch.position} are of {branch.named!r:.80}, and max_tokens counts the whole "
            f"completion; give more than {branch.num_tokens}, not {limit}",
            param="max_tokens",
        )


def _check_is_open(request: GenerationRequest, traits: ModelTraits) -> None:
    """Refuse to put tokens after the one that ended the completion."""
    branch = request.branch
    assert branch is not None, "a branch"
    ends = ending_ids(request, traits.eos_ids)
    if branch.forced_by[-1:] not in ((), (None,)):
        ends |= traits.eos_ids
    if branch.token_ids and branch.token_ids[-1] in ends:
        last = branch.position - 1
        raise InvalidRequestError(
            f"branch_from.position: the token at {last} ends the completion, so nothing follows "
            f"it; give 0 to {last}",
            param="branch_from.position",
        )
