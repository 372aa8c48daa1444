"""Counts the work of a function, where a measured time would depend on the machine."""

import sys
import threading


def num_calls(function):
    """Return the number of calls, of Python and of C functions, that a function makes.

    Those on threads that it starts are counted as well.
    """
    count = 0

    def see(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    threading.setprofile(see)
    sys.setprofile(see)
    try:
        function()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return count
