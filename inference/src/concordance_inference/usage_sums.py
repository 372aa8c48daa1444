"""What the mods of several completions did together."""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET

from concordance_inference.generation import ModFailure, ModUsage


def summed(usages: Iterable[ModUsage]) -> tuple[ModUsage, ...]:
    """Return one usage for each mod, in the order in which they come first.

    Examples:
        >>> one, two = ModUsage(mod="a", calls=1), ModUsage(mod="a", calls=2)
        >>> [(usage.mod, usage.calls) for usage in summed([one, two])]
        [('a', 3)]
    """
    by_mod: dict[str, dict[str, int]] = {}
    failures: dict[str, ModFailure] = {}
    for usage in usages:
        counts = msgspec.structs.asdict(usage)
        mod, failed = counts.pop("mod"), counts.pop("failed")
        if isinstance(failed, ModFailure):
            failures.setdefault(mod, failed)
        known = by_mod.setdefault(mod, dict.fromkeys(counts, 0))
        for name, count in counts.items():
            known[name] += count
    return tuple(
        ModUsage(mod=mod, **counts, failed=failures.get(mod, UNSET))
        for mod, counts in by_mod.items()
    )
