import json
import stat
import sys
import time

import pytest
from concordance_inference.cli.main import main
from concordance_inference.cli.options import Serve
from concordance_inference.cli.traces import trace_hub
from concordance_inference.traces.schema import Trace, TraceToken
from concordance_inference.traces.store import TraceStore


@pytest.fixture(name="path")
def _path(tmp_path):
    path = tmp_path / "t.db"
    tokens = [TraceToken(index=0, position=0, token_id=5, text="\x1b[31mHi", logprob=-1.0)]
    TraceStore(path).add([Trace(id="a", created=time.time(), text="Hi", model="m", tokens=tokens)])
    return path


@pytest.fixture(name="command")
def _command(monkeypatch, capsys):
    def command(*args):
        monkeypatch.setattr(sys, "argv", ["concordance", "traces", *map(str, args)])
        try:
            main()
            status = 0
        except SystemExit as exc:
            status = exc.code or 0
        got = capsys.readouterr()
        return status, got.out, got.err

    return command


def test_traces_are_listed_shown_and_deleted(command, path):
    assert command("list", "--store", path)[1].startswith("a  20")
    shown = command("show", "a", "--store", path)[1]
    assert "completion: 'Hi'" in shown
    assert "\x1b" not in shown
    assert json.loads(command("show", "a", "--json", "--store", path)[1])["id"] == "a"
    assert command("delete", "a", "--store", path)[1] == "deleted a\n"
    assert command("show", "a", "--store", path)[0] == 1


def test_an_export_can_be_imported_into_another_store(command, path, tmp_path):
    lines, other = tmp_path / "t.jsonl", tmp_path / "other.db"
    command("export", "--store", path, "-o", lines)

    assert command("import", lines, "--store", other)[1] == "imported 1 traces\n"

    assert TraceStore(other).get("a") == TraceStore(path).get("a")
    assert command("export", "--store", other)[0] == 0


def test_named_traces_are_exported_as_lines_and_one_or_two_as_a_page(command, path, tmp_path):
    page = tmp_path / "t.html"
    line = command("export", "a", "--store", path)[1]
    assert json.loads(line)["id"] == "a"

    assert command("export", "a", "--html", page, "--store", path)[1] == f"wrote {page}\n"

    assert "<trace-page>" in page.read_text()
    status, _, err = command("export", "--html", page, "--store", path)
    assert (status, "one trace or two; got 0" in err) == (1, True)
    status, _, err = command("export", "b", "--html", page, "--store", path)
    assert (status, "there is no trace 'b'" in err) == (1, True)


def test_a_missing_store_and_a_wrong_file_are_errors_that_name_them(command, path, tmp_path):
    status, _, err = command("list", "--store", tmp_path / "none.db")
    assert (status, "none.db" in err) == (1, True)
    wrong = tmp_path / "w.jsonl"
    wrong.write_text("{}\n")
    status, _, err = command("import", wrong, "--store", path)
    assert (status, "w.jsonl, line 1" in err) == (1, True)


def test_a_server_keeps_prompts_unless_other_machines_can_connect(tmp_path):
    store = tmp_path / "s" / "t.db"

    assert trace_hub(Serve(trace_store=store)).keeps_prompts
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    assert not trace_hub(Serve(trace_store=store, host="10.0.0.1")).keeps_prompts
    assert trace_hub(Serve(trace_store=store, host="10.0.0.1", trace_prompts=True)).keeps_prompts
    assert trace_hub(Serve(trace_store=store, trace="requests")).level_of(None) == "requests"
