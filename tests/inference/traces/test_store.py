import os
import signal
import sqlite3
import subprocess
import sys
import time

import msgspec
import pytest
from concordance_inference.caller import Caller, calling
from concordance_inference.traces.schema import Trace, TraceMod, TraceToken
from concordance_inference.traces.store import (
    DamagedStoreError,
    Limits,
    Query,
    StoreError,
    TraceStore,
    UnknownTraceError,
    decode_line,
)


def trace(name, *, age=0.0, **fields):
    fields = {"status": "ended", "model": "m", "text": f"text of {name}", **fields}
    return Trace(id=name, created=time.time() - age, **fields)


def ids(store, **query):
    return [each.id for each in store.list(Query(**query))]


def test_the_newest_traces_are_listed_first(tmp_path):
    store = TraceStore(tmp_path / "t.db")
    store.add([trace("old", age=10), trace("new")])

    assert ids(store) == ["new", "old"]
    assert ids(store, limit=1) == ["new"]


def test_traces_are_filtered_by_model_mod_status_and_text():
    store = TraceStore()
    store.add([trace("a", mods=[TraceMod(name="greet")]), trace("b", model="n", status="failed")])
    store.add([trace("c", prompt="The Sea", age=60)])

    assert ids(store, model="n") == ["b"]
    assert ids(store, mod="greet") == ["a"]
    assert ids(store, mod="gree") == []
    assert ids(store, status="failed") == ["b"]
    assert ids(store, search="sea") == ["c"]
    assert ids(store, before=time.time() - 30) == ["c"]


def test_a_trace_is_read_as_it_was_stored(tmp_path):
    stored = trace("a", parameters={"temperature": 0.5}, completion_ids=[1, 2])
    TraceStore(tmp_path / "t.db").add([stored])

    assert TraceStore(tmp_path / "t.db").get("a") == stored


def test_a_deleted_trace_is_unknown():
    store = TraceStore()
    store.add([trace("a")])

    store.delete("a")

    with pytest.raises(UnknownTraceError, match="'a'"):
        store.get("a")
    with pytest.raises(UnknownTraceError):
        store.delete("a")


def test_old_traces_are_deleted():
    store = TraceStore(limits=Limits(max_age_s=100))

    store.add([trace("old", age=200), trace("new")])

    assert ids(store) == ["new"]


def test_the_oldest_traces_are_deleted_if_there_are_too_many_bytes():
    store = TraceStore(limits=Limits(max_bytes=3000))

    for i in range(20):
        store.add([trace(f"t{i}", age=100 - i)])

    assert 0 < len(ids(store)) < 10
    assert ids(store)[0] == "t19"


def test_an_export_has_one_line_for_each_trace():
    store = TraceStore()
    store.add([trace("a"), trace("b", age=1)])

    lines = list(store.export(Query()))

    assert [decode_line(line, where="x").id for line in lines] == ["a", "b"]


@pytest.mark.parametrize("line", [b"no", b"{}", b'{"id": 3}'])
def test_a_line_that_is_no_trace_is_refused(line):
    with pytest.raises(StoreError, match=r"x\.jsonl, line 3"):
        decode_line(line, where="x.jsonl, line 3")


def test_a_trace_of_another_schema_is_refused():
    with pytest.raises(StoreError, match=r"concordance\.trace/1"):
        decode_line(msgspec.json.encode(trace("a", schema="other/9")), where="x")


def test_a_file_that_is_no_store_is_refused(tmp_path):
    path = tmp_path / "t.db"
    path.write_bytes(b"this is a text and no database, which is long enough" * 20)

    with pytest.raises(StoreError, match="no store of traces"):
        TraceStore(path)


_WRITER = """
import sys, time
from pathlib import Path
from concordance_inference.traces.schema import Trace, TraceToken
from concordance_inference.traces.store import TraceStore
store = TraceStore(Path(sys.argv[1]))
tokens = [TraceToken(index=i, position=i, token_id=i, text="x" * 50) for i in range(300)]
for i in range(10**6):
    store.add([Trace(id=f"{i}-{j}", created=time.time(), tokens=tokens) for j in range(3)])
    print(i, flush=True)
"""


@pytest.mark.process
def test_a_killed_writer_leaves_whole_transactions(tmp_path):
    path = tmp_path / "t.db"
    command = [sys.executable, "-c", _WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        for _ in range(5):
            last = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)

    store = TraceStore(path)

    names = {each.id for each in store.list(Query(limit=1000))}
    batches = {int(name.partition("-")[0]) for name in names}
    assert batches >= set(range(last + 1))
    assert names == {f"{i}-{j}" for i in batches for j in range(3)}
    assert all(len(store.get(name).tokens) == 300 for name in names)
    check = sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone()
    assert check == ("ok",)


def test_a_store_of_an_earlier_version_is_read_and_its_traces_have_no_owner(tmp_path):
    path = tmp_path / "t.db"
    store = TraceStore(path)
    store.add([trace("old")])
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE traces DROP COLUMN owner")
        db.execute("PRAGMA user_version = 1")

    store = TraceStore(path)
    store.add([trace("new", owner="ann")])

    assert ids(store) == ["new", "old"]
    for caller, seen in (
        (Caller(owner="ann", sees_all=False), ["new"]),
        (Caller(), ["new", "old"]),
    ):
        with calling(caller):
            assert ids(store) == seen
    with calling(Caller(sees_all=False)):
        assert ids(store) == ["old"]
        for refused in (store.get, store.delete):
            with pytest.raises(UnknownTraceError):
                refused("new")


def test_a_file_that_was_damaged_after_its_beginning_is_named(tmp_path):
    path = tmp_path / "t.db"
    store = TraceStore(path)
    store.add([trace(f"t{i}", text=os.urandom(2000).hex()) for i in range(60)])
    store.close()
    data = bytearray(path.read_bytes())
    data[8192:] = os.urandom(len(data) - 8192)
    path.write_bytes(data)
    store = TraceStore(path)

    reads = (lambda: store.list(Query(limit=1000)), lambda: store.get("t5"))
    for use in (*reads, lambda: store.add([trace("new")]), lambda: store.remove("t5")):
        with pytest.raises(DamagedStoreError, match=r"t\.db, cannot be read .* move the file away"):
            use()


def test_a_store_on_a_full_disk_keeps_what_it_has_and_continues_when_there_is_room(tmp_path):
    store = TraceStore(tmp_path / "t.db")
    store.add([trace("first")])
    store._db.execute("PRAGMA max_page_count = 12")
    with pytest.raises(DamagedStoreError, match="disk is full"):
        store.add([trace("large", text=os.urandom(200_000).hex())])
    assert ids(store) == ["first"]

    store._db.execute("PRAGMA max_page_count = 100000")
    store.add([trace("second")])
    assert sorted(ids(store)) == ["first", "second"]


def test_an_entry_whose_index_is_not_its_place_is_no_trace():
    token = TraceToken(index=5, position=0, token_id=1)
    with pytest.raises(StoreError, match=r"tokens\[0\]\.index is 5; expected 0"):
        decode_line(msgspec.json.encode(trace("a", tokens=[token])), where="f")
