"""The reports of one request."""

from collections.abc import Sequence

import msgspec
from concordance_shared import MAX_REPORT_BYTES, MAX_REPORTS, ModReport


class ReportLog:
    """The reports that mods made for the client of a request, oldest first.

    Attributes:
        entries: All of them.
    """

    def __init__(self) -> None:
        """Create an empty log."""
        self.entries: list[ModReport] = []
        self._num_bytes = 0
        self._num_taken = 0

    def add(self, report: ModReport) -> None:
        """Add a report.

        Raises:
            ValueError: The reports of the request exceed a limit; the message says which.
        """
        num_bytes = self._num_bytes + len(msgspec.json.encode(report.data))
        if len(self.entries) == MAX_REPORTS:
            raise ValueError(
                f"made more reports than the {MAX_REPORTS} that a request can have; make fewer, "
                "such as one at Finished,"
            )
        if num_bytes > MAX_REPORT_BYTES:
            raise ValueError(
                f"made reports of {num_bytes} bytes of JSON together; the limit for one request "
                f"is {MAX_REPORT_BYTES}; report less,"
            )
        self._num_bytes = num_bytes
        self.entries.append(report)

    def clear(self) -> None:
        """Drop all reports, of which none was taken."""
        self.entries.clear()
        self._num_bytes = 0

    def take_new(self) -> Sequence[ModReport]:
        """Return the reports since the last call, oldest first."""
        if self._num_taken == len(self.entries):
            return ()
        new = self.entries[self._num_taken :]
        self._num_taken = len(self.entries)
        return new
