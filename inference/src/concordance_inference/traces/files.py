"""Traces in files of JSON Lines, as `concordance traces export` writes them."""

from pathlib import Path

from concordance_inference.traces.schema import Trace
from concordance_inference.traces.store import decode_line


def read_traces(path: Path | str) -> list[Trace]:
    """Return the traces of a file.

    Args:
        path: A file with one trace a line.

    Raises:
        StoreError: A line is no trace.
    """
    with Path(path).open("rb") as file:
        return [
            decode_line(line, where=f"{path}, line {i}")
            for i, line in enumerate(file, start=1)
            if line.strip()
        ]
