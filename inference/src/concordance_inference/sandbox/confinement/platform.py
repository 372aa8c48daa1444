"""Selects the confinement of this platform."""

import sys

from concordance_inference.sandbox.confinement.process import Limits


def prepare() -> None:
    """Load what `confine` needs, before the zygote forks."""
    if sys.platform == "linux":
        from concordance_inference.sandbox.confinement import linux  # noqa: PLC0415  # one platform

        linux.prepare()


def confine(channel: int, parent: int, limits: Limits) -> dict[str, str]:
    """Confine this process irreversibly; return the layers, by name.

    Args:
        channel: The only descriptor that stays open, beside the standard streams.
        parent: The process id of the zygote.
        limits: What the process may use.

    Raises:
        OSError: A layer cannot be put in place.
    """
    if sys.platform == "linux":
        from concordance_inference.sandbox.confinement import linux  # noqa: PLC0415  # one platform

        return linux.confine(channel, parent, limits)
    if sys.platform == "darwin":
        from concordance_inference.sandbox.confinement import macos  # noqa: PLC0415  # one platform

        return macos.confine(channel, parent, limits)
    raise OSError(f"there is no sandbox for {sys.platform}")
