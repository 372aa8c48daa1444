"""A bound on the work that a schema makes when it is compiled."""

import time

from concordance_shared import ConstraintError

#: How often the clock is looked at.
_EVERY = 256


class Budget:
    """Work that may be done: a number of steps, and seconds."""

    def __init__(self, steps: int, seconds: float) -> None:
        """Begin to count.

        Args:
            steps: How many alternatives may be combined.
            seconds: How long it may take.
        """
        self._steps = steps
        self._seconds = seconds
        self._end = time.thread_time() + seconds
        self._spent = 0

    def spend(self, steps: int = 1) -> None:
        """Do some work.

        Raises:
            ConstraintError: It is more than was allowed.
        """
        self._spent += steps
        if self._spent > self._steps:
            raise ConstraintError(
                f"it combines more than {self._steps} alternatives; give the cases of 'oneOf', "
                "'anyOf' and 'if' a property with a 'const' of its own, or leave some out"
            )
        if self._spent % _EVERY < steps:
            self.check()

    def check(self) -> None:
        """Look at the clock.

        Raises:
            ConstraintError: It took too long.
        """
        if time.thread_time() > self._end:
            raise ConstraintError(
                f"it takes more than {self._seconds:g} s to compile; make the schema smaller"
            )
