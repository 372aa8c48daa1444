"""A limit on the work of compiling a schema."""

import time

from concordance_shared import ConstraintError

#: The time is checked once every this many steps.
_EVERY = 256


class Budget:
    """A limit in steps and in seconds of CPU time."""

    def __init__(self, steps: int, seconds: float) -> None:
        """Start counting.

        Args:
            steps: The maximum number of alternatives that may be combined.
            seconds: The maximum CPU time of this thread.
        """
        self._steps = steps
        self._seconds = seconds
        self._end = time.thread_time() + seconds
        self._spent = 0

    def spend(self, steps: int = 1) -> None:
        """Count some steps.

        Raises:
            ConstraintError: The limit is exceeded.
        """
        self._spent += steps
        if self._spent > self._steps:
            raise ConstraintError(
                f"it combines more than {self._steps} alternatives; give the cases of 'oneOf', "
                "'anyOf' and 'if' a property with its own 'const', or remove some"
            )
        if self._spent % _EVERY < steps:
            self.check()

    def check(self) -> None:
        """Check the CPU time.

        Raises:
            ConstraintError: The limit is exceeded.
        """
        if time.thread_time() > self._end:
            raise ConstraintError(
                f"it takes more than {self._seconds:g} s to compile; make the schema smaller"
            )
