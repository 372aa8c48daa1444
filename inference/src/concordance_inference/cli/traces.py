"""`concordance traces`, and the traces of `concordance serve`."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from concordance_shared import InvalidRequestError

from concordance_inference.cli.listener import is_loopback
from concordance_inference.cli.options import (
    DeleteTraces,
    ExportTraces,
    ImportTraces,
    ListTraces,
    Serve,
    ShowTrace,
)
from concordance_inference.cli.settings_file import SettingsError
from concordance_inference.models.cache_folder import cache_folder

if TYPE_CHECKING:
    from concordance_inference.traces.hub import TraceHub
    from concordance_inference.traces.store import Query, TraceStore

#: Traces that an import stores in one transaction.
_BATCH = 100


def store_path(given: Path | None) -> Path:
    """Return the file of the store."""
    return cache_folder() / "traces.db" if given is None else given


def trace_hub(options: Serve) -> "TraceHub":
    """Return what traces the requests of a server.

    Raises:
        SettingsError: The file of traces cannot be written.
        StoreError: It is something else.
    """
    from concordance_inference.traces.hub import TraceHub
    from concordance_inference.traces.store import Limits, TraceStore

    limits = Limits(
        max_bytes=int(options.trace_memory * 1e9), max_age_s=options.trace_days * 86_400
    )
    is_private = is_loopback(options.host)
    path = store_path(options.trace_store)
    try:
        store = TraceStore(path, limits)
    except OSError as exc:
        raise SettingsError(
            f"--trace-store {path}: the file cannot be written ({exc}); name another one"
        ) from exc
    return TraceHub(
        options.trace,
        store,
        keeps_prompts=is_private if options.trace_prompts is None else options.trace_prompts,
    )


@contextmanager
def closing_traces(hub: "TraceHub") -> Generator[None]:
    """Store the traces that have ended when the server ends."""
    try:
        yield
    finally:
        hub.stop()


def list_(options: ListTraces) -> None:
    """Print one line for each trace, the newest first."""
    from concordance_inference.traces.text import lines_of_list

    found = opened_store(options.store).list(_query(options))
    for line in lines_of_list(found):
        print(line)
    if not found:
        print("no traces; `concordance serve --trace tokens` makes some", file=sys.stderr)


def show(options: ShowTrace) -> None:
    """Print a trace.

    Raises:
        UnknownTraceError: There is none of this id.
    """
    from concordance_inference.traces.text import text_of_trace

    trace = opened_store(options.store).get(options.name)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(trace), indent=2).decode())
    else:
        print(text_of_trace(trace), end="")


def export(options: ExportTraces) -> None:
    """Write traces as JSON Lines, or as a page.

    Raises:
        UnknownTraceError: There is none of an id.
        InvalidRequestError: A page is to have no trace, or more than two.
    """
    store = opened_store(options.store)
    if options.html is not None:
        from concordance_inference.traces.trace_page import TracePage

        TracePage(*map(store.get, options.names or ())).write(options.html)
        print(f"wrote {options.html}")
        return
    if options.names:
        lines = iter([msgspec.json.encode(store.get(name)) + b"\n" for name in options.names])
    else:
        lines = store.export(_query(options))
    if options.output is None:
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        return
    with options.output.open("wb") as file:
        file.writelines(lines)


def import_(options: ImportTraces) -> None:
    """Store the traces of a file, and print their number.

    Raises:
        StoreError: A line is no trace.
    """
    from concordance_inference.traces.files import read_traces

    traces = read_traces(options.file)
    store = opened_store(options.store, creates=True)
    for start in range(0, len(traces), _BATCH):
        store.add(traces[start : start + _BATCH])
    print(f"imported {len(traces)} traces")


def delete(options: DeleteTraces) -> None:
    """Delete traces.

    Raises:
        UnknownTraceError: There is none of an id.
    """
    store = opened_store(options.store)
    for name in options.names:
        store.delete(name)
        print(f"deleted {name}")


def opened_store(given: Path | None, *, creates: bool = False) -> "TraceStore":
    """Open the store.

    Raises:
        InvalidRequestError: There is no such file.
    """
    from concordance_inference.traces.store import Limits, TraceStore

    path = store_path(given)
    if not creates and not path.exists():
        raise InvalidRequestError(
            f"{path}: there is no store of traces yet; `concordance serve --trace tokens` makes "
            "one, or --store names another"
        )
    # Limits are those of the server: a command deletes nothing by age or size.
    return TraceStore(path, Limits(max_bytes=2**62, max_age_s=1e12))


def _query(options: ListTraces) -> "Query":
    from concordance_inference.traces.store import Query

    return Query(
        model=options.model,
        mod=options.mod,
        status=options.status,
        search=options.search,
        limit=options.limit,
    )
