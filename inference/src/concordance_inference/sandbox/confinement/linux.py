"""Confines a worker on Linux: rlimits, no new privileges, Landlock without rules, seccomp."""

from contextlib import suppress
from functools import lru_cache

from concordance_inference.sandbox.confinement import landlock, process, seccomp
from concordance_inference.sandbox.confinement.process import Limits


def prepare() -> None:
    """Build the filter, which workers share.

    A machine without a table of system calls has none; `confine` then fails.
    """
    with suppress(seccomp.UnsupportedMachineError):
        _program()


@lru_cache(1)
def _program() -> list[seccomp.Instruction]:
    return seccomp.filter_for(seccomp.architecture())


def confine(channel: int, parent: int, limits: Limits) -> dict[str, str]:
    """Confine this process irreversibly. The order matters: each step needs what later ones take.

    Args:
        channel: The only descriptor that stays open, beside the standard streams.
        parent: The process id of the zygote.
        limits: What the worker may use.

    Returns:
        The layers, by name.

    Raises:
        OSError: A layer cannot be put in place.
    """
    process.die_with(parent)
    process.close_all_but(channel)
    process.lower_priority(limits)
    process.set_limits(limits)
    process.drop_privileges()
    process.die_with(parent)  # a change of the user cancels it
    process.forbid_new_privileges()
    version = landlock.restrict()
    seccomp.install(_program())
    return {"landlock": f"ABI {version}" if version else "none", "seccomp": "filter"}
