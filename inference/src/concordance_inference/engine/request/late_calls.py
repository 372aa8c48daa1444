"""Requests with calls of mods that may be parked: what they need, and what becomes of errors."""

import logging
from typing import TYPE_CHECKING

from concordance_shared import EngineError

from concordance_inference.engine.request.recent_logits import MIN_POSITIONS

if TYPE_CHECKING:
    from concordance_inference.engine.request.row import Row

logger = logging.getLogger(__name__)


def expect_late_answers(row: "Row") -> None:
    """Prepare a running request for a mod in another process, which will be added."""
    row.mods.may_park = True
    row.speculation.remember_at_least(MIN_POSITIONS)


def reads_logits(row: "Row") -> bool:
    """True if a request's mods see the logits of the next position, or have just seen them."""
    return row.dispatch.listens_to_logits or row.calls.has_answer


def fail_call(row: "Row", error: Exception) -> None:
    """Fail a request, and no other, since a call of its mods that may be parked has raised.

    Args:
        row: The request.
        error: Not a `ModError`: the fault of the engine.
    """
    request_id = row.request.request_id
    logger.error("%s: a call of its mods raised; it fails alone", request_id, exc_info=error)
    row.state.fail(EngineError(f"a call of the request's mods failed with {type(error).__name__}"))


def give_up(row: "Row", error: Exception) -> None:
    """Fail a request whose call has ended early; if the call was to conclude it, do that.

    Args:
        row: The request.
        error: What the call raised.
    """
    fail_call(row, error)
    if row.is_concluding and not row.output.is_concluded:
        row.output.conclude()
        row.mods.close()
