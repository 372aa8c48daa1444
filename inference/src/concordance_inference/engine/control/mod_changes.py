"""Adds mods to a running request, and removes them."""

import logging
from typing import TYPE_CHECKING

from concordance_sdk.host.instance import RequestMod
from concordance_shared import (
    EmittedError,
    Finished,
    FinishReason,
    ModBudgetError,
    ModError,
    SandboxUnavailableError,
)

from concordance_inference.control import RefusedCommandError
from concordance_inference.engine.control.hand import Hand

if TYPE_CHECKING:
    from concordance_inference.engine.request.row import Row

logger = logging.getLogger(__name__)


def attach(row: "Row", hand: Hand, mod: RequestMod, replaces: str | None) -> None:
    """Add a mod to a request, after the others or in place of one, and let it catch up.

    An error of the mod while it catches up leaves the request without it.

    Raises:
        RefusedCommandError: There is no such mod to replace, or it is at work.
        ModError: The new mod raised.
        SandboxUnavailableError: Its worker has ended with the process that starts workers.
    """
    before = list(row.mods.instances)
    replaced = _removable(row, replaces) if replaces else None
    row.mods.insert(mod, replaced)
    update_mods(row, hand)
    try:
        row.dispatch.introduce([mod])
    except (EmittedError, ModBudgetError) as exc:
        row.state.fail(exc)
    except (ModError, SandboxUnavailableError) as exc:
        if isinstance(exc, ModError) and exc.mod != mod.name:
            row.state.fail(exc)
            return
        row.mods.instances[:] = before
        update_mods(row, hand)
        raise
    if replaced:
        _finish(row, replaced)


def detach(row: "Row", hand: Hand, name: str) -> None:
    """Remove a mod from a request; it gets `Finished`.

    Raises:
        RefusedCommandError: There is no such mod, or it is at work.
    """
    mod = _removable(row, name)
    row.mods.remove(mod)
    update_mods(row, hand)
    _finish(row, mod)


def update_mods(row: "Row", hand: Hand) -> None:
    """Make the dispatch and the stream follow a change of the request's mods."""
    first = [hand] if hand.num_steps else []
    row.dispatch.set_mods([*first, *row.mods.instances])
    row.state.holds.hold_trailing(row.mods.hold)


def _removable(row: "Row", name: str) -> RequestMod:
    mod = row.mods.named(name)
    if any(hold.hides for hold in row.state.holds):
        raise RefusedCommandError(
            "a mod of the request asks a question that will be erased; no mod can be removed "
            "before it is answered"
        )
    return mod


def _finish(row: "Row", mod: RequestMod) -> None:
    """Notify a mod that it was removed. Its errors no longer end the request."""
    event = Finished(
        request_id=row.state.request_id,
        step=row.state.num_completion,
        finish_reason=FinishReason.CANCELLED,
    )
    for instance in mod.instances:
        if not instance.listens_to(Finished):
            continue
        try:
            instance.ask(event)
        except (ModError, SandboxUnavailableError) as exc:
            logger.warning("%s: a removed mod failed: %s", row.state.request_id, exc.message)
    if not row.mods.instances:
        row.state.holds.clear()
