"""What is kept of a row that ends, so that another request can continue its completion."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from concordance_shared import FinishReason

from concordance_inference.control import CONTROL
from concordance_inference.resume.ended import EndedCompletion

if TYPE_CHECKING:
    from concordance_inference.engine.request.row import Row

#: Receives each completion that ends, before its client does. Called on the engine's thread.
OnEnd = Callable[[EndedCompletion], None]


def ended_completion(row: "Row") -> EndedCompletion:
    """Return what is kept of a row that has ended; nothing that grows is copied."""
    state = row.state
    token_ids, forced_by = state.token_ids, state.forced_by
    if row.is_ended_by_hand and forced_by[-1:] == [CONTROL]:  # by an end-of-sequence token
        token_ids, forced_by = token_ids[:-1], forced_by[:-1]
    return EndedCompletion(
        request=msgspec.structs.replace(row.request, instances=None, recorder=None),
        token_ids=token_ids,
        prompt_len=state.prompt_len,
        forced_by=forced_by,
        num_sampled=state.num_sampled,
        seed=row.seed,
        tool_calls=state.tool_calls,
        dropped=state.dropped,
        dropped_by=state.dropped_by,
        finish_reason=state.finish_reason or FinishReason.CANCELLED,
        is_ended_by_hand=row.is_ended_by_hand and state.error is None,
    )


def completion_so_far(row: "Row") -> EndedCompletion:
    """Return the same of a row that runs, with copies of what changes."""
    state, so_far = row.state, ended_completion(row)
    return msgspec.structs.replace(
        so_far, token_ids=tuple(state.token_ids), forced_by=tuple(state.forced_by)
    )
