"""`mod_debug_logs` with a mod of the older SDK and a real engine."""

import time

import pytest
from concordance_inference.engine.request import row
from recorded_requests import recorded

OLDER = """
from quote_mod_sdk import ForwardPass, Sampled, mod

@mod
def older(event, actions, tokenizer):
    if isinstance(event, Sampled) and event.step == 1:
        return actions.force_tokens(tokens=tokenizer.encode("ab", add_special_tokens=False))
    return actions.noop()
"""


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory):
    with recorded(tmp_path_factory.mktemp("debug"), level="off") as server:
        upload = {"name": "older", "source": OLDER, "entrypoint": "older"}
        assert server.client.post("/v1/mods", json=upload).status_code == 201
        yield server


def ask(server, logs):
    body = {
        "model": "{}/older",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 5,
        "temperature": 0,
        "mod_debug_logs": logs,
    }
    return server.post(body).json()["mod_debug_logs"]


def test_the_tree_has_the_action_of_an_older_mod_under_its_event(server):
    lines = ask(server, True).splitlines()

    at = lines.index("│     ├─ older(Sampled)")
    assert lines[at - 1].startswith("├──[Sampled] Sampled: ")
    assert lines[at + 1].startswith("│   <─┴ ForceTokens(tokens: [")
    assert lines[at + 2] == '├──[Added] 2 token(s), tokens: ["a", "b"], forced'
    assert (lines[0], lines[-1]) == ("GenStart", "Done")


def test_the_entries_name_each_position_once(server):
    entries = ask(server, "json")

    passes = [each["step"] for each in entries if each.get("event_type") == "ForwardPass"]
    assert passes == [0, 1, 3, 4]
    top = next(each for each in entries if each.get("event_type") == "ForwardPass")["details"]
    assert len(top["top_tokens"]) == 3
    assert "hi" in top["input_text"]


def test_the_end_of_the_trace_is_awaited(server, monkeypatch):
    end = row.end_trace

    def end_late(*args):
        time.sleep(0.05)
        return end(*args)

    monkeypatch.setattr(row, "end_trace", end_late)
    entries = ask(server, "json")

    first = next(each for each in entries if each.get("event_type") == "ForwardPass")
    assert "hi" in first["details"]["input_text"]
