"""The instances of the mods of one request, of which some may be added or removed while it runs."""

import logging
from collections.abc import Iterator, Sequence

from concordance_sdk.definition import longest_hold
from concordance_sdk.host.dispatch import ModTally
from concordance_sdk.host.instance import CountedMod, RequestMod
from concordance_sdk.request_context import RequestContext
from msgspec import UNSET

from concordance_inference.control import RefusedCommandError
from concordance_inference.generation import GenerationRequest, ModFailure, ModUsage
from concordance_inference.metrics_snapshot import ModCost

logger = logging.getLogger(__name__)

#: The mods that enforce what a request asks for: its format, its calls, both in gpt-oss's messages.
_ENFORCING = frozenset({"output_format", "tools", "harmony_content"})


class RequestMods:
    """The mods of a request in the order in which they act, and what they share."""

    def __init__(self, instances: Sequence[RequestMod], request: GenerationRequest) -> None:
        """Start with the mods that the request names."""
        self.instances = list(instances)
        self._request = request
        self._removed: list[RequestMod] = []
        self.failures: dict[str, ModFailure] = {}  # of mods that are not required, by name
        self.may_park = any(mod.may_park for mod in instances)  # a mod's answers may be late
        self.context = (
            instances[0].request
            if instances
            else RequestContext(request.conversation, request_id=request.request_id)
        )

    def close(self) -> None:
        """Release what mods in other processes hold, once no event follows."""
        for mod in self._all():
            try:
                mod.close()
            except Exception:  # the request ends all the same
                logger.exception("mod %r was not closed", mod.name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the mods."""
        return tuple(mod.name for mod in self.instances)

    @property
    def hold(self) -> int | None:
        """Trailing tokens to hold back; `None` for all.

        Without a stream nothing is released before the end, and a client that accepts retractions
        does not need tokens to be held back.
        """
        if not self._request.stream or self._request.include_retractions:
            return None
        return longest_hold(mod.max_backtrack for mod in self.instances)

    def costs(self) -> dict[str, ModCost]:
        """Return what each mod took, also those that were removed, by name."""
        costs: dict[str, ModCost] = {}
        for mod in self._all():
            for each in _whole(mod):
                cost = costs.setdefault(each.name, ModCost())
                cost.calls += each.num_calls
                cost.seconds += each.seconds
        return costs

    def named(self, name: str) -> RequestMod:
        """Return the mod of a name.

        Raises:
            RefusedCommandError: There is none, or several.
        """
        found = [mod for mod in self.instances if mod.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise RefusedCommandError(f"the request has {len(found)} mods named {name!r:.80}")
        listed = ", ".join(self.names) or "none"
        raise RefusedCommandError(f"the request has no mod {name!r:.80}; it has: {listed}")

    def insert(self, instance: RequestMod, replaced: RequestMod | None = None) -> None:
        """Add a mod at the end, before the one that enforces a format, or in place of another."""
        if replaced is None:
            self.instances.insert(len(self.instances) - self._ends_in_format, instance)
        else:
            self.instances[self.instances.index(replaced)] = instance
            self._removed.append(replaced)
        self.may_park = self.may_park or instance.may_park

    def restore(self, instances: Sequence[RequestMod]) -> None:
        """Have the mods of an earlier time again, after one could not be added."""
        self._removed = [mod for mod in self._removed if mod not in instances]
        self.instances[:] = instances

    @property
    def _ends_in_format(self) -> bool:
        calls = self._request.mods
        return bool(calls) and calls[-1].definition.name in _ENFORCING

    def remove(self, instance: RequestMod) -> None:
        """Remove a mod."""
        self.instances.remove(instance)
        self._removed.append(instance)

    def usage(self, tallies: dict[str, ModTally]) -> tuple[ModUsage, ...]:
        """Return what each mod did, also of those that were removed.

        Args:
            tallies: Counts by name. Mods of equal names share them.
        """
        mods = {each.name: each for mod in self._all() for each in _whole(mod)}
        by_name = {name: ModUsage(mod=name) for name in (*mods, *tallies)}
        for name in by_name:
            same = [each for mod in self._all() for each in _whole(mod) if each.name == name]
            tally = tallies.get(name) or ModTally()
            by_name[name] = ModUsage(
                mod=name,
                calls=sum(each.num_calls for each in same),
                forced_tokens=tally.forced_tokens,
                backtracked_tokens=tally.backtracked_tokens,
                adjusted_steps=tally.adjusted_steps,
                microseconds=round(1e6 * sum(each.seconds for each in same)),
                failed=self.failures.get(name, UNSET),
            )
        return tuple(by_name.values())

    def _all(self) -> Iterator[RequestMod]:
        yield from self.instances
        yield from self._removed


def _whole(mod: CountedMod) -> Iterator[CountedMod]:
    """A mod, and the mods that it contains."""
    yield mod
    for contained in mod.contained:
        yield from _whole(contained)
