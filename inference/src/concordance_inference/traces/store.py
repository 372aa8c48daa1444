"""Stores traces in an SQLite file, bounded by size and age."""

import sqlite3
import threading
import time
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from concordance_shared import ConcordanceError, RequestError
from msgspec import Struct

from concordance_inference.caller import current_caller
from concordance_inference.traces.schema import SCHEMA, Trace, TraceSummary, summary_of

_TABLES = """
CREATE TABLE IF NOT EXISTS traces (
    id TEXT PRIMARY KEY,
    created REAL NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL,
    mods TEXT NOT NULL,
    words TEXT NOT NULL,
    size INTEGER NOT NULL,
    summary BLOB NOT NULL,
    body BLOB NOT NULL,
    owner TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS traces_by_time ON traces (created);
"""

#: Version of the tables, in the file's `user_version`.
_VERSION = 2

#: What makes the tables of a version those of the next one.
_CHANGES = {1: "ALTER TABLE traces ADD COLUMN owner TEXT NOT NULL DEFAULT ''"}

#: The most traces that a list returns.
MAX_LIMIT = 1000

_decoder = msgspec.json.Decoder(Trace)
_summaries = msgspec.json.Decoder(TraceSummary)


class UnknownTraceError(RequestError):
    """There is no trace of an id."""

    status_code = 404
    type = "not_found_error"
    code = "trace_not_found"


class StoreError(RequestError):
    """A file is no store of traces that this version can read."""

    code = "trace_store_invalid"


class DamagedStoreError(ConcordanceError):
    """The file of a store cannot be read or written any more."""

    code = "trace_store_damaged"


class Limits(Struct, frozen=True, kw_only=True):
    """What is kept: the oldest traces are deleted first."""

    max_bytes: int = 500_000_000
    max_age_s: float = 30 * 86_400.0


class Query(Struct, frozen=True, kw_only=True):
    """Selects traces; the newest come first."""

    model: str | None = None
    mod: str | None = None
    status: str | None = None
    search: str | None = None  # in the prompt and the completion
    since: float | None = None  # Unix time
    before: float | None = None
    limit: int = 50


class TraceStore:
    """Traces in a file, or in memory. Thread-safe; one process writes at a time.

    A caller finds its own only: see `caller`.

    The file is in WAL mode: a transaction is in it whole or not at all, whenever the process ends.
    """

    def __init__(self, path: Path | None = None, limits: Limits = Limits()) -> None:  # noqa: B008
        """Open a store, and create it if it is missing.

        Args:
            path: The file; `None` for a store in memory.
            limits: What is kept.

        Raises:
            StoreError: The file is something else.
        """
        self._limits = limits
        self._path = path
        self._lock = threading.Lock()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)  # traces have what users wrote
        try:
            self._db = _opened(path)
        except sqlite3.DatabaseError as exc:
            raise StoreError(f"{path}: this is no store of traces ({exc})") from exc

    def add(self, traces: Sequence[Trace]) -> None:
        """Store traces in one transaction; one of an id that exists replaces it."""
        rows = [_row(trace) for trace in traces]
        with self._opened(), self._db:
            self._db.executemany("INSERT OR REPLACE INTO traces VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
            self._delete_old()

    def list(self, query: Query = Query()) -> "list[TraceSummary]":  # noqa: B008
        """Return summaries of the traces that a query selects, the newest first."""
        where, values = _where(query)
        sql = f"SELECT summary FROM traces{where} ORDER BY created DESC, id LIMIT ?"  # noqa: S608
        with self._opened():
            rows = self._db.execute(sql, (*values, min(query.limit, MAX_LIMIT))).fetchall()
        return [_summaries.decode(row[0]) for row in rows]

    def get(self, trace_id: str) -> Trace:
        """Return a trace.

        Raises:
            UnknownTraceError: There is none of this id.
        """
        found = self.find(trace_id)
        if found is None:
            raise unknown(trace_id)
        return found

    def find(self, trace_id: str) -> Trace | None:
        """Return a trace; `None` if there is none of this id."""
        body = self.body(trace_id)
        return None if body is None else _decoder.decode(body)

    def body(self, trace_id: str) -> bytes | None:
        """Return a trace as JSON; `None` if there is none that the present caller may see."""
        caller = current_caller()
        sql = "SELECT body FROM traces WHERE id = ? AND (owner = ? OR ?)"
        with self._opened():
            row = self._db.execute(sql, (trace_id, caller.owner, caller.sees_all)).fetchone()
            return None if row is None else zlib.decompress(row[0])

    def delete(self, trace_id: str) -> None:
        """Delete a trace.

        Raises:
            UnknownTraceError: There is none of this id.
        """
        if not self.remove(trace_id):
            raise unknown(trace_id)

    def remove(self, trace_id: str) -> bool:
        """Delete a trace; return False if there is none of this id."""
        caller = current_caller()
        sql = "DELETE FROM traces WHERE id = ? AND (owner = ? OR ?)"
        values = (trace_id, caller.owner, caller.sees_all)
        with self._opened(), self._db:
            return bool(self._db.execute(sql, values).rowcount)

    def export(self, query: Query) -> Iterator[bytes]:
        """Yield the traces that a query selects as lines of JSON, the newest first."""
        for summary in self.list(query):
            if (body := self.body(summary.id)) is not None:  # not deleted meanwhile
                yield body + b"\n"

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _opened(self) -> Generator[None, None, None]:
        """Hold the lock; raise a `DamagedStoreError` for an error of the file."""
        with self._lock:
            try:
                yield
            except (sqlite3.DatabaseError, zlib.error) as exc:
                raise DamagedStoreError(
                    f"the store of traces, {self._path or 'in memory'}, cannot be read or written "
                    f"({exc}); if the disk is not full, move the file away: the next start makes "
                    "another one"
                ) from exc

    def _delete_old(self) -> None:
        db, limits = self._db, self._limits
        db.execute("DELETE FROM traces WHERE created < ?", (time.time() - limits.max_age_s,))
        sizes = "SELECT id, SUM(size) OVER (ORDER BY created DESC, id) AS total FROM traces"
        db.execute(
            f"DELETE FROM traces WHERE id IN (SELECT id FROM ({sizes}) WHERE total > ?)",  # noqa: S608
            (limits.max_bytes,),
        )
        db.execute("PRAGMA incremental_vacuum")


def unknown(trace_id: str) -> UnknownTraceError:
    """Return the error for an id of which there is no trace."""
    return UnknownTraceError(
        f"there is no trace {trace_id!r:.140}; GET /v1/traces, or `concordance traces list`, lists "
        "those that are kept"
    )


def decode_line(line: bytes, *, where: str) -> Trace:
    """Decode one line of an export.

    Raises:
        StoreError: It is no trace of this schema.
    """
    try:
        trace = _decoder.decode(line)
    except msgspec.MsgspecError as exc:
        raise StoreError(f"{where}: this is no trace ({exc})") from exc
    if trace.schema != SCHEMA:
        raise StoreError(f"{where}: the schema is {trace.schema!r:.80}; expected {SCHEMA!r}")
    for name, entries in (("tokens", trace.tokens), ("events", trace.events)):
        for i, entry in enumerate(entries):
            if entry.index != i:
                raise StoreError(f"{where}: {name}[{i}].index is {entry.index}; expected {i}")
    return trace


def _opened(path: Path | None) -> sqlite3.Connection:
    db = sqlite3.connect(path or ":memory:", check_same_thread=False, timeout=10)
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise sqlite3.DatabaseError(f"its version is {version}, of a newer Concordance")
    if change := _CHANGES.get(version):
        db.execute(change)
    db.executescript(_TABLES)
    db.execute(f"PRAGMA user_version = {_VERSION}")
    db.commit()
    return db


def _row(trace: Trace) -> tuple[Any, ...]:
    body = zlib.compress(msgspec.json.encode(trace), 1)
    summary = msgspec.json.encode(summary_of(trace))
    mods = "\n".join(["", *(mod.name for mod in trace.mods), ""])
    words = f"{trace.prompt or ''}\n{trace.text}"[-20_000:]
    size = len(body) + len(summary) + len(words)
    fields = (trace.id, trace.created, trace.model, trace.status, mods, words)
    return (*fields, size, summary, body, trace.owner)


def _where(query: Query) -> tuple[str, list[Any]]:
    conditions = {
        "model = ?": query.model,
        "status = ?": query.status,
        "instr(mods, ?)": query.mod and f"\n{query.mod}\n",
        "instr(lower(words), lower(?))": query.search,
        "created >= ?": query.since,
        "created < ?": query.before,
    }
    caller = current_caller()
    conditions["owner = ?"] = None if caller.sees_all else caller.owner
    used = {sql: value for sql, value in conditions.items() if value is not None}
    return (" WHERE " + " AND ".join(used) if used else ""), list(used.values())
