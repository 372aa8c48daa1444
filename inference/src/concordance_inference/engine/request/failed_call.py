"""What becomes of a request whose call raised an error that is not its mod's."""

import logging
from typing import TYPE_CHECKING

from concordance_shared import EngineError

if TYPE_CHECKING:
    from concordance_inference.engine.request.row import Row

logger = logging.getLogger(__name__)


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
