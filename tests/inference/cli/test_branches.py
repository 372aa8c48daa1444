"""`concordance requests branch` and `tree`, with responses of a server that does not run."""

import json

import pytest
from concordance_inference.cli import branches
from concordance_inference.cli.options import BranchRequest, ShowBranches
from concordance_shared import InvalidRequestError

NODE = {
    "id": "chatcmpl-a",
    "position": None,
    "text": "",
    "model": "tiny",
    "state": "ended",
    "finish_reason": "stop",
    "completion_tokens": 5,
}
CHILD = {
    **NODE,
    "id": "chatcmpl-b",
    "position": 3,
    "text": "[x]",
    "state": "running",
    "finish_reason": None,
    "branches": [],
    "more_branches": 2,
}
FOUND = {"object": "branches", "id": "chatcmpl-b", "root": {**NODE, "branches": [CHILD]}}
ABOUT = {
    "branch": {
        "id": "chatcmpl-b",
        "parent": "chatcmpl-a",
        "position": 3,
        "read_tokens": 1,
        "cached_tokens": 9,
    }
}


@pytest.fixture(name="calls")
def _calls(monkeypatch):
    calls = []

    def call(_self, method, path, body=None):
        calls.append((method, path, body))
        return FOUND if method == "GET" else {"id": "chatcmpl-b"}

    def events(_self, path, body):
        calls.append(("POST", path, body))
        is_plain = path == "/v1/completions"
        for text in ("It ", "was"):
            yield {"choices": [{"text": text} if is_plain else {"delta": {"content": text}}]}
        last = {"text": "", "concordance": ABOUT} if is_plain else {"delta": {}}
        yield {"choices": [last]} | ({} if is_plain else {"concordance": ABOUT})

    monkeypatch.setattr(branches.ServerClient, "call", call)
    monkeypatch.setattr(branches.ServerClient, "events", events)
    return calls


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("chatcmpl-a", "/v1/chat/completions"),
        ("a", "/v1/chat/completions"),
        ("cmpl-a", "/v1/completions"),
    ],
)
def test_a_branch_is_printed_from_its_beginning(calls, capsys, name, path):
    branches.branch(BranchRequest(id=name, at=3, text="was", seed=7, mod=["calm"]))

    printed = capsys.readouterr()
    assert printed.out == "It was\n"
    assert printed.err == (
        "chatcmpl-b branches off chatcmpl-a at token 3: 1 tokens read, 9 cached\n"
    )
    (_, (method, sent_to, body)) = calls
    assert (method, sent_to) == ("POST", path)
    assert body["branch_from"] == {"id": name, "position": 3, "text": "was"}
    assert (body["model"], body["seed"], body["mods"]) == ("tiny", 7, ["calm"])
    assert "temperature" not in body


def test_the_tokens_of_a_branch_are_numbers_with_commas(calls, capsys):
    branches.branch(BranchRequest(id="a", at=0, token_ids="11,2602", json=True))

    assert calls[1][2]["branch_from"]["token_ids"] == [11, 2602]
    assert json.loads(capsys.readouterr().out) == {"id": "chatcmpl-b"}
    with pytest.raises(InvalidRequestError, match="such as 11,2602"):
        branches.branch(BranchRequest(id="a", at=0, token_ids="a"))


def test_an_error_within_the_stream_of_a_branch_is_raised(calls, monkeypatch):
    error = {"error": {"message": "the model failed"}}
    monkeypatch.setattr(branches.ServerClient, "events", lambda *_: iter([error]))

    with pytest.raises(Exception, match="the model failed"):
        branches.branch(BranchRequest(id="a", at=0))


def test_a_tree_is_printed_with_where_each_branch_begins(calls, capsys):
    branches.tree(ShowBranches(id="b"))

    root, child, more = capsys.readouterr().out.splitlines()
    assert root.rstrip() == "chatcmpl-a  stop  5 tokens"
    assert child.rstrip().endswith("chatcmpl-b  at 3: '[x]'  running  5 tokens")
    assert more.rstrip().endswith("2 more")
    assert calls == [("GET", "/v1/branches/b", None)]


def test_a_tree_is_printed_as_json(calls, capsys):
    branches.tree(ShowBranches(id="b", json=True))

    assert json.loads(capsys.readouterr().out) == FOUND
