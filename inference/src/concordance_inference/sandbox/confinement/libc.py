"""The C library, for system calls that Python does not offer."""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> int:
    """Return the result of a call of the C library.

    Args:
        result: The result.
        what: The call, for the message.

    Raises:
        OSError: The call failed.
    """
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
