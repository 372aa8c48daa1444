"""Reports calls of mods' code that do not return.

Handlers run on the engine's thread, so one that does not return stops all requests. Python cannot
end it; what can be done is to name it, and to let the process end.
"""

import logging
import sys
import threading
from collections.abc import Callable
from types import FrameType

from concordance_sdk.host.call_in_progress import CallInProgress, call_in_progress

logger = logging.getLogger(__name__)

#: Seconds after which a call that runs on the engine's thread is reported.
REPORT_AFTER_S = 1.0

#: Seconds after which a call on another thread is reported: mods have 10 s to get ready, and one
#: that takes longer is interrupted.
REPORT_ABANDONED_AFTER_S = 12.0

#: Seconds between two looks at the threads.
_POLL_S = 0.25

_Key = tuple[int, float]  # a thread, and when its call began


def call_on(thread: threading.Thread, *, longer_than_s: float = 0.0) -> CallInProgress | None:
    """Return the call of a mod's code that a thread has been in for that long.

    Args:
        thread: A running thread.
        longer_than_s: Shorter calls are ignored.
    """
    return call_in_progress(frame_of(thread), longer_than_s=longer_than_s)


def frame_of(thread: threading.Thread) -> FrameType | None:
    """Return the innermost frame of a thread; `None` if it does not run."""
    return _frames().get(thread.ident or 0)


class CallWatchdog:
    """A thread that logs each call that does not return, at growing intervals."""

    def __init__(
        self, engine: threading.Thread, *, also: Callable[[], None] = lambda: None
    ) -> None:
        """Watch the threads of this process.

        Args:
            engine: The thread that a call must not keep from the requests.
            also: Another look that its thread takes.
        """
        self._engine = engine
        self._also = also
        self._is_stopping = threading.Event()
        self._next_report_s: dict[_Key, float] = {}
        self._reported: dict[_Key, CallInProgress] = {}
        self._thread = threading.Thread(target=self._run, name="call-watchdog", daemon=True)

    def start(self) -> None:
        """Start to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._is_stopping.set()
        # The garbage collector may stop an engine on any thread.
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping.wait(_POLL_S):
            self.look()
            self._also()

    def look(self) -> None:
        """Log the calls that are due, and the end of those that were logged before."""
        calls: dict[_Key, CallInProgress] = {}
        for ident, frame in _frames().items():
            is_engine = ident == self._engine.ident
            after = REPORT_AFTER_S if is_engine else REPORT_ABANDONED_AFTER_S
            if call := call_in_progress(frame, longer_than_s=after):
                calls[ident, call.started] = call
                self._report(call, (ident, call.started), stops_requests=is_engine)
        for key in self._reported.keys() - calls.keys():
            call = self._reported.pop(key)
            self._next_report_s.pop(key)
            logger.warning("mod %r has returned from %s of request %r", *_named(call))

    def _report(self, call: CallInProgress, key: _Key, *, stops_requests: bool) -> None:
        if call.seconds < self._next_report_s.get(key, 0.0):
            return
        self._next_report_s[key] = 2 * call.seconds
        self._reported[key] = call
        effect = "all requests wait for it" if stops_requests else "its thread keeps running"
        logger.warning("%s; %s. It is at:\n%s", call, effect, call.stack.rstrip())


def _frames() -> dict[int, FrameType]:
    """The innermost frame of each thread; CPython's documentation has this function."""
    return sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _named(call: CallInProgress) -> tuple[str, str, str]:
    return call.mod, call.event, call.request_id


def wait_unless_stuck(
    thread: threading.Thread, *, longer_than_s: float, poll_s: float = _POLL_S
) -> CallInProgress | None:
    """Wait for the end of a thread, or until a call of a mod's code on it has taken that long.

    Returns:
        The call; `None` if the thread has ended.
    """
    while thread.is_alive():
        thread.join(poll_s)
        if call := call_on(thread, longer_than_s=longer_than_s):
            return call
    return None
