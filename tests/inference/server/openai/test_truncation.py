"""The field `truncation`: the oldest turns of a conversation that does not fit are left out."""

import pytest
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from fake_engine import INFO, FakeChat, FakeEngine, says
from openai import OpenAI
from sandboxes import mod_catalog
from starlette.testclient import TestClient

#: A conversation that is several times as long as the context.
TURN = [{"role": "user", "content": "q" * (INFO.context_length // 8)},
        {"role": "assistant", "content": "a" * (INFO.context_length // 8)}]  # fmt: skip
LONG = [{"role": "system", "content": "s"}, *TURN * 12, {"role": "user", "content": "Last?"}]


class WholeChat(FakeChat):
    """Renders all messages."""

    def render(
        self, messages, tools=(), options=None, rendering=None, response_format=None, hosted=()
    ):
        return list("".join(message.text for message in messages).encode())


def client(truncation="disabled"):
    engine = FakeEngine(says("Hello"))
    context = ServerContext(
        models=OneModel(engine, WholeChat()),
        mods=mod_catalog(),
        truncation=truncation,
    )
    http = TestClient(create_app(context), base_url="http://127.0.0.1:8000")
    return http, engine


def post(http, path="/v1/chat/completions", **fields):
    return http.post(path, json={"model": INFO.id, "messages": LONG, **fields})


def test_a_conversation_that_does_not_fit_is_refused_unless_it_may_be_truncated():
    response = post(client()[0])
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(("server", "fields"), [("disabled", {"truncation": "auto"}), ("auto", {})])
def test_the_oldest_turns_are_left_out_and_counted(server, fields):
    http, engine = client(server)
    body = post(http, **fields).json()
    (request,) = engine.requests
    num_left_out = len(LONG) - len(request.conversation.messages)
    assert body["concordance"]["truncated_messages"] == num_left_out > 0
    assert num_left_out % 2 == 0
    assert len(request.prompt_ids) < INFO.context_length
    assert request.conversation.messages[0].role == "system"


def test_requests_can_refuse_what_the_server_would_do():
    assert post(client("auto")[0], truncation="disabled").status_code == 400


def test_conversations_that_fit_are_whole():
    http, engine = client()
    body = post(http, truncation="auto", messages=LONG[:4]).json()
    assert "concordance" not in body
    assert len(engine.requests[0].conversation.messages) == 4


def test_the_first_chunk_of_a_stream_has_the_count():
    http, _ = client()
    with OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="k", http_client=http) as openai:
        chunks = openai.chat.completions.create(
            model=INFO.id, messages=LONG, stream=True, extra_body={"truncation": "auto"}
        )
        first, *others = chunks
    assert first.concordance["truncated_messages"] > 0
    assert not any("truncated_messages" in (c.model_extra.get("concordance") or {}) for c in others)


def test_other_values_are_refused():
    response = post(client()[0], truncation="middle")
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "truncation"


def test_messages_of_anthropics_clients_are_truncated_as_the_server_says():
    fields = {"messages": LONG[1:], "max_tokens": 5}
    assert post(client()[0], "/v1/messages", **fields).status_code == 400
    response = post(client("auto")[0], "/v1/messages", **fields)
    assert response.json()["concordance"]["truncated_messages"] > 0


def test_responses_are_truncated_as_the_server_says():
    fields = {"messages": None, "input": LONG}
    assert post(client()[0], "/v1/responses", **fields).status_code == 400
    response = post(client("auto")[0], "/v1/responses", **fields)
    assert response.json()["concordance"]["dropped_items"] > 0
