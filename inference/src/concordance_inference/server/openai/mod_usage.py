"""What mods and loop detection did, in the field `concordance` of responses."""

from collections.abc import Sequence
from typing import Any

from concordance_shared import ModReport

from concordance_inference.generation import Completed
from concordance_inference.usage_sums import summed


def about_mods(
    ends: Sequence[Completed],
    reports: Sequence[ModReport] = (),
    *,
    has_mods: bool,
    num_truncated: int = 0,
) -> dict[str, Any]:
    """Return the field `concordance`: counts, what each mod did, and what was reported or found.

    Empty for a request without mods, unless actions by hand changed it, it has a loop, or the
    server ran a tool for it.

    Args:
        ends: The completions of a request.
        reports: Of its mods.
        has_mods: True if the request names mods.
        num_truncated: Messages that were left out of the prompt.
    """
    usages = summed(usage for end in ends for usage in end.mods)
    loops = [loop for end in ends for loop in end.loops]
    hosted = [use for end in ends for use in end.hosted]
    truncated = {"truncated_messages": num_truncated} if num_truncated else {}
    if not has_mods and not usages and not loops and not hosted:
        return {"concordance": truncated} if truncated else {}
    about: dict[str, Any] = {
        **truncated,
        "forced_tokens": sum(end.forced_tokens for end in ends),
        "backtracked_tokens": sum(end.backtracked_tokens for end in ends),
    }
    if usages:
        about["mods"] = usages
    if loops:
        about["loops"] = loops
    if hosted:
        about["hosted_tools"] = hosted
    return {"concordance": about | ({"reports": reports} if reports else {})}


def with_about(fields: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    """Return fields of a response with more in `concordance`; unchanged if there is no more.

    Examples:
        >>> with_about({"concordance": {"forced_tokens": 1}}, {"resumed_from": "cmpl-1"})
        {'concordance': {'forced_tokens': 1, 'resumed_from': 'cmpl-1'}}
    """
    if not about:
        return fields
    return {**fields, "concordance": {**fields.get("concordance", {}), **about}}
