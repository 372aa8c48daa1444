"""`/v1/branches`: the tree of branches, and a completion as a conversation."""

import threading
import time

import pytest
from branching_client import branch_client
from concordance_inference.caller import Caller
from concordance_inference.server.access.access import Access
from resuming import chat, post

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 12}}\n</tool_call>'
SCHEMA = {"type": "object", "properties": {"a": {"enum": [12, None]}}, "required": ["a"]}
TOOL = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}


@pytest.fixture(name="client", scope="module")
def _client(tmp_path_factory):
    with branch_client(tmp_path_factory.mktemp("models")) as client:
        yield client


def speaks(text):
    return {"mods": [{"name": "speaks", "params": {"text": text}}]}


def branch(client, parent_id, position, text, says):
    point = {"id": parent_id, "position": position, "text": text}
    return chat(client, messages=None, branch_from=point, **speaks(says))


def got(client, path, status=200):
    response = client.get(path)
    assert response.status_code == status, response.text
    return response.json()


def test_the_tree_has_all_branches_whichever_of_them_is_named(client):
    parent = chat(client, **speaks("It is fine."))
    one = branch(client, parent.id, 6, "bad.", "It is bad.")
    two = branch(client, one.id, 0, "He", "He")
    branch(client, parent.id, 3, "was", "It was")

    trees = [got(client, f"/v1/branches/{each.id}") for each in (parent, one, two)]
    assert [tree["id"] for tree in trees] == [parent.id, one.id, two.id]
    root = trees[0]["root"]
    assert trees[1]["root"] == trees[2]["root"] == root
    first, other = root.pop("branches")
    assert root == {
        "id": parent.id,
        "parent": None,
        "position": None,
        "token_ids": [],
        "text": "",
        "model": client.model,
        "created": None,
        "state": "ended",
        "finish_reason": "stop",
        "completion_tokens": len("It is fine.") + 1,
    }
    assert (first["id"], first["parent"], first["position"]) == (one.id, parent.id, 6)
    assert (first["text"], len(first["token_ids"])) == ("bad.", 4)
    assert abs(first["created"] - time.time()) < 60
    assert [each["id"] for each in first["branches"]] == [two.id]
    assert other["text"] == "was"


def test_a_completion_without_branches_is_a_tree_of_one(client):
    parent = chat(client, **speaks("Yes."))

    root = got(client, f"/v1/branches/{parent.id}")["root"]
    assert (root["state"], root["completion_tokens"], root["branches"]) == ("ended", 5, [])


def test_a_choice_is_found_by_its_number(client):
    body = {"n": 2, "max_tokens": 3, "ignore_eos": True}
    asked = [{"role": "user", "content": "hi"}]
    parent = post(client, "/v1/chat/completions", messages=asked, **body).json()
    other = branch(client, f"{parent['id']}:1", 1, "x", "?x")

    root = got(client, f"/v1/branches/{other.id}")["root"]
    assert root["id"] == f"{parent['id']}:1"
    assert got(client, f"/v1/branches/{parent['id']}")["root"]["branches"] == []


def test_what_is_not_known_is_not_found(client):
    for path in ("/v1/branches/none", "/v1/branches/none/conversation"):
        assert got(client, path, 404)["error"]["code"] == "completion_not_found"


def test_a_completion_that_was_paused_is_branched_from_and_seen_as_running(client):
    body = {"ignore_eos": True, "max_tokens": 120, "seed": 3, "temperature": 0.9}
    asked = {"prompt": "A question to ask", "return_token_ids": True, "model": client.model, **body}
    found = {}

    def run():
        headers = {"X-Request-Id": "long"}
        found["parent"] = client.post("/v1/completions", json=asked, headers=headers).json()

    thread = threading.Thread(target=run)
    thread.start()
    path, deadline = "/v1/requests/long", time.monotonic() + 20
    while (state := client.get(path)).status_code != 200 or not any(
        choice.get("completion_tokens", 0) > 9 for choice in state.json()["choices"]
    ):
        assert time.monotonic() < deadline
    act = "/v1/requests/long/actions"
    assert client.post(act, json={"type": "pause"}).status_code == 200
    point = {"id": "cmpl-long", "position": 8, "text": "abc"}
    new = {"max_tokens": 20, "return_token_ids": True, "branch_from": point}
    other = post(client, "/v1/completions", **new).json()
    root = got(client, f"/v1/branches/{other['id']}")["root"]
    assert client.post(act, json={"type": "resume"}).status_code == 200
    thread.join()

    tokens = found["parent"]["choices"][0]["token_ids"]
    assert len(tokens) == 120
    assert other["choices"][0]["token_ids"][:8] == tokens[:8]
    assert other["choices"][0]["concordance"]["branch"]["read_tokens"] == 3
    assert (root["state"], root["completion_tokens"] >= 9) == ("running", True)
    alone = post(client, "/v1/completions", **new).json()
    assert alone["choices"][0]["token_ids"] == other["choices"][0]["token_ids"]


@pytest.mark.parametrize("is_admin", [False, True])
def test_what_another_owner_has_is_not_found(client, monkeypatch, is_admin):
    parent = chat(client, **speaks("It is fine."))
    branch(client, parent.id, 6, "bad.", "It is bad.")
    paths = [f"/v1/branches/{parent.id}{end}" for end in ("", "/conversation")]

    with monkeypatch.context() as patched:
        bob = Caller(owner="bob", sees_all=is_admin)
        patched.setattr(Access, "caller", lambda *_: bob)
        for path in paths:
            got(client, path, 404)
        point = {"id": parent.id, "position": 1}
        body = {"model": client.model, "branch_from": point}
        assert client.post("/v1/chat/completions", json=body).status_code == 404
    for path in paths:
        got(client, path)


# Conversations


def conversation(client, completion_id):
    body = got(client, f"/v1/branches/{completion_id}/conversation")
    assert (body.pop("object"), body.pop("id")) == ("conversation", completion_id)
    return body


def test_a_branch_is_exported_as_a_conversation_that_can_be_sent_again(client):
    parent = chat(client, **speaks("<think>\nHm\n</think>\n\nIt is fine."))
    other = branch(client, parent.id, 27, "bad.", "<think>\nHm\n</think>\n\nIt is bad.")

    body = conversation(client, other.id)
    assert body["messages"] == [
        {"role": "user", "content": "A question to ask"},
        {"role": "assistant", "content": "It is bad.", "reasoning_content": "Hm"},
    ]
    body["messages"].append({"role": "user", "content": "Why?"})
    assert post(client, "/v1/chat/completions", max_tokens=1, **body).json()["choices"]


def test_a_conversation_has_the_calls_and_the_tools(client):
    parent = chat(client, tools=[TOOL], **speaks(f"Wait. {CALL}"))

    body = conversation(client, parent.id)
    (call,) = body["messages"][1]["tool_calls"]
    assert call["function"] == {"name": "add", "arguments": '{"a": 12}'}
    assert body["messages"][1]["content"].startswith("Wait.")
    assert body["tools"] == [TOOL]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "12"}
    body["messages"].append(result)
    assert post(client, "/v1/chat/completions", max_tokens=1, **body).json()["choices"]


def test_a_conversation_ends_before_the_stop_string(client):
    parent = chat(client, stop=["END"], **speaks("One END Two"))

    assert conversation(client, parent.id)["messages"][1]["content"] == "One "


def test_a_message_that_was_continued_is_one_message(client):
    asked = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "It is"}]
    body = {"messages": asked, "max_tokens": 20, **speaks(" fine.")}
    parent = post(client, "/v1/messages", **body).json()

    messages = conversation(client, parent["id"])["messages"]
    assert messages[1] == {"role": "assistant", "content": "It is fine."}


def test_a_text_completion_is_exported_as_the_tokens_of_a_prompt(client):
    body = {"prompt": "A question to ask", "max_tokens": 6, "ignore_eos": True}
    parent = post(client, "/v1/completions", return_token_ids=True, **body).json()
    (choice,) = parent["choices"]

    exported = conversation(client, parent["id"])
    assert exported["prompt"] == [*choice["prompt_token_ids"], *choice["token_ids"]]
    assert post(client, "/v1/completions", max_tokens=1, **exported).json()["choices"]


def test_the_trace_of_a_branch_names_its_parent(client):
    parent = chat(client, **speaks("It is fine."))
    point = {"id": parent.id, "position": 6, "text": "bad."}
    other = chat(client, messages=None, branch_from=point, trace=True, **speaks("It is bad."))

    trace = got(client, f"/v1/traces/{other.id.removeprefix('chatcmpl-')}")
    assert trace["branch"] == {"parent": parent.id.removeprefix("chatcmpl-"), "position": 6}
    kept = [each for each in trace["tokens"] if each.get("status", "kept") == "kept"]
    origins = [(each.get("origin", "sampled"), each.get("mod")) for each in kept]
    assert origins == [*[("given", None)] * 6, *[("forced", "@branch")] * 4, ("sampled", None)]
