"""Limits of the sandbox."""

from msgspec import Struct


class SandboxOptions(Struct, frozen=True, kw_only=True):
    """Limits of workers, and of their number.

    Attributes:
        max_workers: Most workers that are leased at the same time.
        num_warm: Workers that wait for a mod.
        memory: Bytes that a worker may allocate.
        cpu_s: Seconds of CPU time of a worker.
        up_s: Seconds until a forked worker is up.
        load_s: Seconds for loading a mod, and for preparing it.
        prefilled_s: Seconds for `Prefilled`.
        event_s: Seconds for any other event.
        test_every_s: Seconds between two self-tests.
        python: The interpreter of the zygote; by default this process's own.
    """

    max_workers: int = 64
    num_warm: int = 4
    memory: int = 256 << 20
    cpu_s: int = 60
    up_s: float = 10.0
    load_s: float = 2.0
    prefilled_s: float = 1.0
    event_s: float = 0.25
    test_every_s: float = 600.0
    python: str | None = None
