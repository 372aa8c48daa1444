import json
import sys

import msgspec
import pytest
from concordance_inference.cli.main import main
from concordance_inference.traces.schema import Trace
from recorded_requests import MODS, recorded
from scripted_server import scripted_server

HI = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, "ignore_eos": True}


@pytest.fixture(name="kept", scope="module")
def _kept(tmp_path_factory):
    """A folder with a model, a store of traces and a file of them; and the traces."""
    folder = tmp_path_factory.mktemp("replay")
    with recorded(folder) as server:
        traces = [server.record(HI), server.record(HI | {"mods": ["ends"]})]
    lines = b"".join(msgspec.json.encode(trace) + b"\n" for trace in traces)
    (folder / "traces.jsonl").write_bytes(lines)
    return folder, traces


@pytest.fixture(name="command")
def _command(monkeypatch, capsys, kept):
    folder, _ = kept

    def command(*args):
        options = ["--model", folder / "tiny", "--mods", folder / "wild.py"]
        options += ["--store", folder / "traces.db"]
        monkeypatch.setattr(sys, "argv", ["concordance", "replay", *map(str, (*args, *options))])
        try:
            main()
            status = 0
        except SystemExit as exc:
            status = exc.code or 0
        got = capsys.readouterr()
        return status, got.out, got.err

    return command


def test_a_trace_of_the_store_is_replayed(command, kept):
    _, (trace, _) = kept

    assert command(trace.id)[:2] == (
        0,
        f"trace {trace.id}: same 8 tokens, and the same end (length)\n",
    )
    assert command(trace.id, "--from", 3)[:2] == (
        0,
        f"trace {trace.id}: same 5 tokens, and the same end (length)\n",
    )


def test_all_traces_of_a_file_are_replayed(command, kept):
    folder, traces = kept

    status, out, _ = command(folder / "traces.jsonl")

    assert status == 0
    assert [line.split()[1] for line in out.splitlines()] == [f"{each.id}:" for each in traces]


def test_an_edited_mod_that_acts_otherwise_exits_with_1(command, kept, tmp_path):
    _, (_, trace) = kept
    edited = tmp_path / "edited.py"
    edited.write_text(MODS.replace("at: int = 6", "at: int = 3"))

    status, out, _ = command(trace.id, "--mod", edited)

    assert status == 1
    assert "differs at position" in out
    assert "recorded" in out
    assert "forced by ends" in out


def test_the_trace_of_the_replay_is_printed_as_json(command, kept):
    _, (trace, _) = kept

    status, out, err = command(trace.id, "--json")

    assert (status, json.loads(out)["completion_ids"]) == (0, trace.completion_ids)
    assert "same 8 tokens" in err


def test_a_trace_is_read_from_a_running_server(command, kept):
    _, (trace, _) = kept
    body = msgspec.to_builtins(trace)

    with scripted_server({("GET", f"/v1/traces/{trace.id}"): (200, body)}) as (url, _):
        assert command(trace.id, "--url", url)[0] == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothere", "there is no trace 'nothere'"), ("no.jsonl", "there is no such file")],
)
def test_a_trace_that_is_not_there_is_named(command, name, message):
    status, _, err = command(name)

    assert (status, message in err) == (1, True)


def test_a_trace_that_lacks_its_prompt_says_so(command, tmp_path):
    lines = tmp_path / "bare.jsonl"
    lines.write_bytes(msgspec.json.encode(Trace(id="bare", status="ended", seed=3)))

    status, _, err = command(lines)

    assert status == 1
    assert "trace bare cannot be replayed: it lacks the body and the prompt" in err
