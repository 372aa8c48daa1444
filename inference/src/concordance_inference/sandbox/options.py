"""Limits of the sandbox."""

import os
import sys

from msgspec import Struct

#: Leased workers that a system with little memory has.
_MIN_WORKERS = 2


class SandboxOptions(Struct, frozen=True, kw_only=True):
    """Limits of workers, and of their number.

    Attributes:
        max_workers: Most workers that are leased at the same time.
        memory_share: The share of the system's memory that leased workers may allocate together.
        num_warm: Workers that wait for a mod.
        memory: Bytes that a worker may allocate.
        cpu_s: Seconds of CPU time of a worker.
        up_s: Seconds until a forked worker is up.
        load_s: Seconds for loading a mod, and for preparing it.
        prefilled_s: Seconds for `Prefilled`.
        event_s: Seconds for any other event.
        test_every_s: Seconds between two self-tests.
        spawns: True to execute each worker, in place of forking it from the zygote: slower, and
            with all memory of its own. For systems on which forking is unsafe.
        python: The interpreter of the zygote; by default this process's own.
    """

    max_workers: int = 64
    memory_share: float = 0.25
    num_warm: int = 4
    memory: int = 256 << 20
    cpu_s: int = 60
    up_s: float = 10.0
    load_s: float = 2.0
    prefilled_s: float = 1.0
    event_s: float = 0.25
    test_every_s: float = 600.0
    spawns: bool = sys.platform == "darwin"
    python: str | None = None

    @property
    def num_workers(self) -> int:
        """Most workers that are leased at the same time, with the memory of this system."""
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        fitting = int(memory * self.memory_share / self.memory)
        return min(self.max_workers, max(fitting, _MIN_WORKERS))
