"""The reports of a request in the terminal, after its text."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager

from concordance_shared import ConcordanceError, ModReport

from concordance_inference.generation import Completed, ReportsDelta, Update


@contextmanager
def reports_after(
    updates: Iterable[Update], write: Callable[[str], object]
) -> Generator[Iterator[Update]]:
    """Pass on the updates of a request; write a line per report at the end, also after an error.

    Args:
        updates: The updates.
        write: Called with each line.
    """
    reports: list[ModReport] = []
    try:
        yield _collecting(updates, reports)
    except ConcordanceError as exc:
        reports[:] = exc.reports
        raise
    finally:
        for report in reports:
            write(str(report))


def _collecting(updates: Iterable[Update], reports: list[ModReport]) -> Iterator[Update]:
    for update in updates:
        if isinstance(update, ReportsDelta):
            reports += update.reports
        elif isinstance(update, Completed):
            reports[:] = update.reports
        yield update
