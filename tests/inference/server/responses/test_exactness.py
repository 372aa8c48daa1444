"""Stored conversations on a tiny random model: the prompts, the prefix cache, and the tokens."""

import pytest
from concordance_inference.runtime import Runtime
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from openai_types import check_response, events_of
from sandboxes import mod_catalog
from starlette.testclient import TestClient
from tiny_folder import write_thinking_folder, write_tiny_folder


@pytest.fixture(name="client", scope="module")
def _client(tmp_path_factory):
    yield from served(write_tiny_folder(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(name="thinking", scope="module")
def _thinking(tmp_path_factory):
    template = (
        "{% for m in messages %}{{ m.role[0] }}:"
        "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
        "{{ m.content }}|{% endfor %}{% if add_generation_prompt %}a:<think>{% endif %}"
    )
    folder = tmp_path_factory.mktemp("model") / "thinking"
    yield from served(write_thinking_folder(folder, template=template))


def served(folder):
    with Runtime(str(folder), mod_catalog(), progress=lambda _: None) as runtime:
        context = ServerContext(models=OneModel(runtime, runtime.chat), mods=mod_catalog())
        with TestClient(create_app(context), base_url="http://127.0.0.1:8000") as client:
            client.headers["x-model"] = runtime.model.id
            (client.hidden_id,) = runtime.chat.special_ids
            yield client


def create(client, given, **fields):
    body = {"model": client.headers["x-model"], "input": given, "return_token_ids": True}
    body["regex"] = "[a-z]+"  # random bytes are no text, and would be lost
    got = client.post("/v1/responses", json={"max_output_tokens": 8, "seed": 1, **body, **fields})
    assert got.status_code == 200, got.text
    if fields.get("stream"):
        return events_of(got.text)[-1]["response"]
    check_response(got.json())
    return got.json()


def prompt_of(response):
    return response["concordance"]["prompt_token_ids"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_chain_has_the_prompt_of_the_whole_conversation_and_reuses_its_prefix(client, stream):
    first = create(client, "one", stream=stream)
    second = create(client, "two", previous_response_id=first["id"], stream=stream)
    third = create(client, "three", previous_response_id=second["id"], stream=stream)
    asked = [{"role": "user", "content": text} for text in ("one", "two", "three")]
    whole = [asked[0], *first["output"], asked[1], *second["output"], asked[2]]
    again = create(client, whole, stream=stream)

    assert prompt_of(again) == prompt_of(third)
    known = len(prompt_of(second)) + second["usage"]["output_tokens"]
    assert third["usage"]["input_tokens_details"]["cached_tokens"] >= known - 1
    assert again["concordance"]["token_ids"] == third["concordance"]["token_ids"]


def test_the_prompt_is_that_of_chat_completions(client):
    first = create(client, "one")
    second = create(client, "two", previous_response_id=first["id"], instructions="Rule")
    messages = [
        {"role": "system", "content": "Rule"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": first["output"][0]["content"][0]["text"]},
        {"role": "user", "content": "two"},
    ]
    body = {"model": client.headers["x-model"], "messages": messages}
    rendered = client.post("/v1/chat/completions/render", json=body).json()

    assert prompt_of(second) == rendered["token_ids"]
    counted = client.post(
        "/v1/responses/input_tokens",
        json={
            "model": client.headers["x-model"],
            "input": "two",
            "previous_response_id": first["id"],
            "instructions": "Rule",
        },
    )
    assert counted.json()["input_tokens"] == rendered["count"]


def test_a_response_in_the_background_has_the_tokens_of_one_that_is_waited_for(client):
    waited = create(client, "same")
    running = create(client, "same", background=True)["id"]
    while (body := client.get(f"/v1/responses/{running}").json())["status"] in (
        "queued",
        "in_progress",
    ):
        pass

    assert body["concordance"]["token_ids"] == waited["concordance"]["token_ids"]
    assert body["output"][0]["content"] == waited["output"][0]["content"]


def test_a_chain_with_reasoning_has_the_prompt_of_the_whole_conversation(thinking):
    first = create(thinking, "one", max_output_tokens=24, reasoning={"max_tokens": 6})
    assert [item["type"] for item in first["output"]] == ["reasoning", "message"]
    second = create(thinking, "two", previous_response_id=first["id"])
    asked = [{"role": "user", "content": text} for text in ("one", "two")]
    again = create(thinking, [asked[0], *first["output"], asked[1]])

    assert first["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
    assert prompt_of(again) == prompt_of(second)


def text_of(entries):
    return bytes(byte for entry in entries for byte in entry["bytes"]).decode()


WRITES = """
from concordance_sdk import ForwardPass, mod

@mod(on=[ForwardPass])
def writes(event, actions):
    return actions.adjust_logits(allow=[{ids}[event.step]])
"""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["client", "thinking"])
def test_logprobs_are_those_of_the_text_of_a_message_with_hidden_special_tokens(
    request, model, stream
):
    client = request.getfixturevalue(model)
    hidden = client.hidden_id
    tags = "hm</think>" if model == "thinking" else ""
    given = {"prompt": f"{tags}abcd", "add_special_tokens": False}
    *before, a, b, c, d = client.post("/v1/tokenize", json=given).json()["tokens"]
    ids = [*before, hidden, a, hidden, hidden, b, c, hidden, d, hidden]
    payload = {"name": "writes", "module": "writes", "entrypoint": "writes", "language": "python"}
    client.post("/v1/mods", json={**payload, "source": WRITES.format(ids=ids)})
    asked = {"include": ["message.output_text.logprobs"], "mods": ["writes"], "ignore_eos": True}
    got = create(client, "hi", regex=None, stream=stream, max_output_tokens=len(ids), **asked)
    client.delete("/v1/mods/writes")
    message = got["output"][-1]["content"][0]

    assert got["concordance"]["token_ids"] == ids
    assert text_of(message["logprobs"]) == message["text"] == "abcd"
    assert len(message["logprobs"]) == 4
