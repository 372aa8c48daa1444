"""Ends a process in which code of a mod does not return.

A thread that runs Python code cannot be ended from outside, and the interpreter waits for some
threads at its exit. What is left then is to exit without waiting.
"""

import logging
import os
import sys
import threading

#: The exit status of a process that did not wait for a mod's code.
STUCK = 70  # `EX_SOFTWARE` of sysexits.h

#: Seconds after the end of `--drain-timeout` until the process exits at the latest.
EXIT_MARGIN_S = 10.0

#: The same after a second signal to stop.
EXIT_AT_ONCE_S = 2.0

logger = logging.getLogger(__name__)


def exit_now(reason: str) -> None:
    """Exit without waiting for threads, and log the reason."""
    logger.error("exiting with status %d: %s", STUCK, reason)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(STUCK)


def exit_later(seconds: float) -> None:
    """Exit after a time, unless the process has ended before."""
    reason = f"the process did not end within {seconds:g} s after a signal"
    timer = threading.Timer(seconds, exit_now, [reason])
    timer.daemon = True
    timer.start()
