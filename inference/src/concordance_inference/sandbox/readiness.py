"""Waits until a descriptor can be read, whatever its number: `select.select` ends at 1023."""

import math
import select


def is_readable(fileno: int, seconds: float) -> bool:
    """Wait until a descriptor can be read; return True if it can be.

    Args:
        fileno: The descriptor.
        seconds: The longest time to wait.
    """
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return bool(poll.poll(math.ceil(1000 * seconds)))
