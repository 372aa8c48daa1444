"""Counts the failures of uploaded mods."""

import threading
from collections import Counter

from concordance_shared import ConcordanceError


class FailureCounts:
    """Failures by error code. Thread-safe."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._by_code = Counter[str]()

    def note(self, error: ConcordanceError) -> None:
        """Count a failure."""
        with self._lock:
            self._by_code[error.code] += 1

    def counts(self) -> dict[str, int]:
        """Return the number of failures with each code."""
        with self._lock:
            return dict(self._by_code)
