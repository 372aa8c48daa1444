"""Adds mods to a running request, and removes them."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from concordance_sdk.host.instance import RequestMod
from concordance_shared import (
    ConcordanceError,
    EmittedError,
    Finished,
    FinishReason,
    ModBudgetError,
    ModError,
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
        ConcordanceError: The new mod has failed.
    """
    before, max_tokens = list(row.mods.instances), row.state.max_tokens
    tokens = row.state.completion_ids
    replaced = _removable(row, replaces) if replaces else None
    row.mods.insert(mod, replaced)
    seen = update_mods(row, hand)
    try:
        row.dispatch.introduce([mod])
    except (EmittedError, ModBudgetError) as exc:
        row.state.fail(exc)
    except ConcordanceError as exc:
        if not _is_of(exc, mod):
            row.state.fail(exc)
            return
        row.mods.restore(before)
        row.state.limit_tokens(max_tokens, restores=True)
        kept = _num_common(tokens, row.state.completion_ids)  # the new mod may have acted
        update_mods(row, hand, {mod_id: min(n, kept) for mod_id, n in seen.items()})
        mod.close()
        raise
    if replaced:
        _finish(row, replaced)


def _is_of(error: ConcordanceError, mod: RequestMod) -> bool:
    """True if an error is one of a mod, of its parts, or of the mods that it contains."""
    names = {mod.name, *(instance.name for instance in mod.instances)}
    return not isinstance(error, ModError) or error.mod in names


def _num_common(one: list[int], other: list[int]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def detach(row: "Row", hand: Hand, name: str) -> None:
    """Remove a mod from a request; it gets `Finished`.

    Raises:
        RefusedCommandError: There is no such mod, or it is at work.
    """
    drop(row, hand, _removable(row, name))


def drop(row: "Row", hand: Hand, mod: RequestMod) -> None:
    """Remove a mod, which gets `Finished`."""
    row.mods.remove(mod)
    update_mods(row, hand)
    _finish(row, mod)


def update_mods(row: "Row", hand: Hand, seen: Mapping[int, int] = {}) -> Mapping[int, int]:
    """Make the dispatch and the stream follow a change of the request's mods.

    Args:
        row: The request.
        hand: The mod of commands.
        seen: The tokens that mods were notified of which are there again.

    Returns:
        The tokens that the mods were notified of so far.
    """
    first = [hand] if hand.num_steps else []
    row.state.holds.hold_trailing(row.mods.hold)
    return row.dispatch.set_mods([*first, *row.mods.instances], seen)


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
        except ConcordanceError as exc:
            logger.warning("%s: a removed mod failed: %s", row.state.request_id, exc.message)
    mod.close()
    if not row.mods.instances:
        row.state.holds.clear()
