"""Reports steps of the engine that do not return, as when the device hangs."""

import logging
import threading
import time
import traceback

from concordance_inference.call_watchdog import call_on, frame_of
from concordance_inference.generation import SlowStep

logger = logging.getLogger(__name__)

#: Innermost frames of the engine's thread that a report has.
_MAX_FRAMES = 12


class StepWatch:
    """The time of the engine's present step. Its cost is two assignments in a step."""

    def __init__(self, thread: threading.Thread, *, limit_s: float) -> None:
        """Watch a thread.

        Args:
            thread: The engine's.
            limit_s: Seconds after which a step is reported.
        """
        self._thread = thread
        self._limit_s = limit_s
        self._reported: float | None = None  # when the step began that was reported
        self._next_report_s = limit_s
        self.started_at: float | None = None  # set by the engine's thread; `None` between steps

    @property
    def slow_step(self) -> SlowStep | None:
        """The present step, if it is longer than the limit and no mod's code is the reason."""
        started_at = self.started_at
        seconds = 0.0 if started_at is None else time.monotonic() - started_at
        if seconds < self._limit_s or call_on(self._thread):
            return None
        frame = frame_of(self._thread)
        frames = traceback.extract_stack(frame)[-_MAX_FRAMES:] if frame else []
        doing = frames[-1].name if frames else "unknown"
        return SlowStep(seconds=seconds, doing=doing, stack="".join(traceback.format_list(frames)))

    def look(self) -> None:
        """Log a step that is due, at growing intervals, and the end of one that was logged."""
        started_at = self.started_at
        if self._reported is not None and self._reported != started_at:
            logger.warning("the step of the engine that took long has returned")
            self._reported, self._next_report_s = None, self._limit_s
        step = self.slow_step
        if step is None or step.seconds < self._next_report_s:
            return
        self._reported, self._next_report_s = started_at, 2 * step.seconds
        logger.error(
            "a step of the engine has not returned for %.0f s; all requests wait for it. It is at:"
            "\n%s",
            step.seconds,
            step.stack.rstrip(),
        )
