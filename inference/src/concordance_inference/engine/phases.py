"""The moments of a step, for whoever watches the loop."""

from collections.abc import Callable
from enum import StrEnum


class Phase(StrEnum):
    """A moment that every step goes through, in this order."""

    LAUNCHED = "launched"  # the device has its work: a forward pass, and mostly the sampling
    WAITED = "waited"  # what the step before sampled is there
    TOLD = "told"  # the mods have seen it


Watcher = Callable[[Phase], None]
