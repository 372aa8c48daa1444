"""Errors of mods after which a request may continue without the mod."""

from collections.abc import Callable, Iterable, Sequence
from typing import ParamSpec, TypeVar

from concordance_shared import EmittedError, ModBudgetError, ModError

from concordance_sdk.host.instance import ModInstance

P = ParamSpec("P")
T = TypeVar("T")

#: Returns the instances of the mod that has failed; none if its error ends the request.
OnFailure = Callable[[ModInstance, ModError], Sequence[ModInstance]]


class Tolerance:
    """The mods of a request that were dropped since they failed.

    Attributes:
        on_failure: Decides which mods are dropped. By default none: each error is raised.
        dropped: The instances that are not called any more, until they are removed.
    """

    def __init__(self) -> None:
        """Drop no mod."""
        self.on_failure: OnFailure | None = None
        self.dropped: frozenset[ModInstance] = frozenset()

    def drops(self, mod: ModInstance, error: ModError) -> bool:
        """Drop a mod that has failed; return False if its error ends the request.

        An error that a mod emits is a decision, and `ModBudgetError` is about all mods together.
        """
        if self.on_failure is None or isinstance(error, EmittedError | ModBudgetError):
            return False
        instances = self.on_failure(mod, error)
        self.dropped = self.dropped.union(instances)
        return bool(instances)

    def run(
        self, mod: ModInstance, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T | None:
        """Apply what a mod has returned; return `None` if it is refused and the mod is dropped.

        Args:
            mod: The mod.
            call: Applies it, or raises and changes nothing.
            args: Its arguments.
            kwargs: Its arguments by name.

        Raises:
            ModError: It is refused, and the request ends.
        """
        try:
            return call(*args, **kwargs)
        except ModError as exc:
            if not self.drops(mod, exc):
                raise
            return None

    def keep(self, mods: Iterable[ModInstance]) -> None:
        """Forget the dropped mods that are not among these."""
        self.dropped = self.dropped.intersection(mods)
