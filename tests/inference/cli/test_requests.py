"""`concordance requests`, with responses of a server that does not run."""

import pytest
from concordance_inference.cli import requests
from concordance_inference.cli.options import ActOnRequest, CancelRequest, ListRequests
from concordance_shared import InvalidRequestError

RUNNING = {
    "id": "essay",
    "state": "running",
    "age_s": 3.2,
    "choices": [
        {"state": "running", "prompt_tokens": 5, "completion_tokens": 7, "mods": ["avoid"]}
    ],
}
READING = {"id": "new", "state": "reading", "age_s": 0.1, "choices": []}


@pytest.fixture(name="calls")
def _calls(monkeypatch):
    calls = []

    def call(self, method, path, body=None):
        calls.append((method, path, body))
        return {"data": [RUNNING, READING], "state": "paused"}

    monkeypatch.setattr(requests.ServerClient, "call", call)
    return calls


def test_requests_are_listed_with_their_state_and_tokens(calls, capsys):
    requests.list_(ListRequests())
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]

    assert lines[1:] == [
        ["essay", "running", "5", "7", "3", "s", "avoid"],
        ["new", "reading", "0", "s"],
    ]
    assert calls == [("GET", "/v1/requests", None)]


def test_requests_are_listed_as_json(calls, capsys):
    requests.list_(ListRequests(json=True))

    assert '"completion_tokens":7' in capsys.readouterr().out


def test_a_request_is_cancelled_by_its_quoted_id(calls):
    requests.cancel(CancelRequest(id="a/b"))

    assert calls == [("DELETE", "/v1/requests/a%2Fb", None)]


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("pause", {"type": "pause"}),
        ('{"type": "step", "num_tokens": 2}', {"type": "step", "num_tokens": 2}),
    ],
)
def test_an_action_is_a_type_or_json(calls, capsys, action, body):
    requests.act(ActOnRequest(id="essay", action=action))

    assert calls == [("POST", "/v1/requests/essay/actions", body)]
    assert '"state":"paused"' in capsys.readouterr().out


@pytest.mark.usefixtures("calls")
def test_an_action_that_is_not_json_is_refused():
    with pytest.raises(InvalidRequestError, match="not JSON"):
        requests.act(ActOnRequest(id="essay", action="{"))
