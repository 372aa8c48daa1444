"""What the mods of several completions did together."""

from collections.abc import Iterable

import msgspec

from concordance_inference.generation import ModUsage


def summed(usages: Iterable[ModUsage]) -> tuple[ModUsage, ...]:
    """Return one usage for each mod, in the order in which they come first.

    Examples:
        >>> one, two = ModUsage(mod="a", calls=1), ModUsage(mod="a", calls=2)
        >>> [(usage.mod, usage.calls) for usage in summed([one, two])]
        [('a', 3)]
    """
    by_mod: dict[str, dict[str, int]] = {}
    for usage in usages:
        counts = msgspec.structs.asdict(usage)
        known = by_mod.setdefault(counts.pop("mod"), dict.fromkeys(counts, 0))
        for name, count in counts.items():
            known[name] += count
    return tuple(ModUsage(mod=mod, **counts) for mod, counts in by_mod.items())
