"""`concordance replay`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from concordance_shared import InvalidRequestError

from concordance_inference.cli.options import Replay
from concordance_inference.cli.server_client import ServerClient
from concordance_inference.cli.start import running
from concordance_inference.cli.traces import opened_store
from concordance_inference.traces.schema import Trace

if TYPE_CHECKING:
    from concordance_inference.replay import Replayed


def run(options: Replay) -> None:
    """Replay traces, and print the results.

    Raises:
        InvalidRequestError: There is no such file or store.
        UnknownTraceError: There is no such trace.
        ReplayError: A trace lacks something, or is of another model.
    """
    traces = list(_traces(options))
    with running(options, mod_paths=options.mods) as (runtime, _):
        from concordance_inference.replay import replay

        results: list[Replayed] = []
        for trace in traces:
            result = replay(
                trace,
                runtime,
                mods=options.mod_files,
                start=options.start,
                other_model=options.other_model,
            )
            _show(result, as_json=options.json)
            results.append(result)
    if not all(result.is_same for result in results):
        sys.exit(1)


def _traces(options: Replay) -> Iterator[Trace]:
    """Yield the trace of an id, or those of a file."""
    from concordance_inference.traces.store import decode_line

    path = Path(options.trace)
    if path.is_file():
        with path.open("rb") as file:
            for i, line in enumerate(file, start=1):
                if line.strip():
                    yield decode_line(line, where=f"{path}, line {i}")
    elif path.suffix in (".jsonl", ".json"):
        raise InvalidRequestError(f"{path}: there is no such file")
    elif options.url is not None:
        found = ServerClient(options.url).call("GET", f"/v1/traces/{options.trace}")
        yield decode_line(msgspec.json.encode(found), where=options.url)
    else:
        yield opened_store(options.store).get(options.trace)


def _show(result: "Replayed", *, as_json: bool) -> None:
    print(result, file=sys.stderr if as_json else sys.stdout, flush=True)
    if as_json:
        print(msgspec.json.encode(result.trace).decode(), flush=True)
