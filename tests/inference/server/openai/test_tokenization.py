"""`/v1/tokenize`, `/v1/detokenize` and `/v1/chat/completions/render`."""

import pytest
from concordance_inference.chat.rendering import Rendering

HI = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("path", ["/v1/tokenize", "/tokenize"])
def test_a_text_is_tokenized_with_special_tokens_unless_told_otherwise(client, path):
    whole = client.post(path, json={"model": "fake", "prompt": "hi"})
    plain = client.post(path, json={"prompt": "hi", "add_special_tokens": False})

    assert whole.json() == {
        "count": 3,
        "max_model_len": 100,
        "tokens": [1, 104, 105],
        "token_strs": None,
    }
    assert plain.json()["tokens"] == [104, 105]


def test_a_conversation_is_tokenized_by_its_template(client):
    fields = {"messages": HI, "return_token_strs": True, "chat_template_kwargs": {}}
    body = client.post("/v1/tokenize", json={"model": "fake/greeting", **fields}).json()

    assert (body["tokens"], body["token_strs"]) == ([104, 105], ["<104>", "<105>"])


def test_a_text_longer_than_the_context_is_counted(client):
    assert client.post("/v1/tokenize", json={"prompt": "x" * 50_000}).json()["count"] == 50_001


@pytest.mark.parametrize("path", ["/v1/detokenize", "/detokenize"])
def test_tokens_are_decoded(client, path):
    assert client.post(path, json={"tokens": [104, 105]}).json() == {"prompt": "hi"}
    assert client.post(path, json={"model": "fake", "tokens": []}).json() == {"prompt": ""}


def test_a_chat_request_is_rendered_and_not_run(serve):
    client = serve()
    ask = {"model": "fake/greeting", "messages": HI, "max_tokens": 3}
    body = client.post("/v1/chat/completions/render", json=ask).json()

    assert body == {
        "object": "chat.completion.prompt",
        "model": "fake/greeting",
        "count": 2,
        "max_model_len": 100,
        "token_ids": [104, 105],
        "text": "hi",
    }
    assert client.app.state.context.models.named(None).engine.requests == []


@pytest.mark.parametrize(
    ("path", "body", "param", "words"),
    [
        ("tokenize", {}, "prompt", "either `prompt`"),
        ("tokenize", {"prompt": "a", "messages": HI}, "messages", "either `prompt`"),
        ("tokenize", {"prompt": 3}, "prompt", "expected `str"),
        (
            "tokenize",
            {"prompt": "a", "tools": [], "add_special_tokens": 1},
            "add_special_tokens",
            "",
        ),
        ("tokenize", {"prompt": "a", "chat_template_kwargs": {"a": 1}}, "chat_template_kwargs", ""),
        (
            "tokenize",
            {"messages": HI, "add_special_tokens": True},
            "add_special_tokens",
            "template",
        ),
        ("tokenize", {"prompt": "a", "add_generation_prompt": True}, "add_generation_prompt", ""),
        ("tokenize", {"messages": HI, "allow_control_tokens": 1}, "allow_control_tokens", "bool"),
        (
            "tokenize",
            {"messages": HI, "chat_template_kwargs": {"no": 1}},
            "chat_template_kwargs.no",
            "enable_thinking",
        ),
        ("tokenize", {"messages": [{"role": "user"}, 3]}, "messages[1]", "expected `object"),
        ("tokenize", {"prompts": "a"}, "prompts", "did you mean"),
        ("detokenize", {}, "tokens", "missing"),
        ("detokenize", {"tokens": [1, -1]}, "tokens[1]", ">= 0"),
        ("detokenize", {"tokens": [1, 257]}, "tokens[1]", "one of this model's 257 tokens"),
        ("detokenize", {"tokens": "hi"}, "tokens", "expected `array"),
        ("chat/completions/render", {"model": "fake", "messages": []}, "messages", "length >= 1"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(client, path, body, param, words):
    response = client.post(f"/v1/{path}", json=body)
    error = response.json()["error"]

    assert (response.status_code, error["param"]) == (400, param)
    assert words in error["message"]


@pytest.mark.parametrize("path", ["tokenize", "detokenize"])
def test_another_model_is_404(client, path):
    body = {"model": "other", "prompt": "a", "tokens": [1]}
    response = client.post(f"/v1/{path}", json=body)

    assert (response.status_code, response.json()["error"]["param"]) == (404, "model")


@pytest.mark.parametrize("path", ["/v1/tokenize", "/v1/detokenize"])
@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"prompt": "\\ud800"}', b"\xff", b"[" * 9999])
def test_no_body_causes_a_server_error(client, path, raw):
    headers = {"content-type": "application/json"}

    assert client.post(path, content=raw, headers=headers).status_code == 400


def test_a_conversation_is_tokenized_as_a_chat_request_renders_it(serve):
    client = serve()
    fields = {"add_generation_prompt": False, "allow_control_tokens": True}
    for path in ("tokenize", "chat/completions/render"):
        body = {"model": "fake", "messages": HI, **fields}
        assert client.post(f"/v1/{path}", json=body).status_code == 200

    expected = Rendering(adds_generation_prompt=False, allows_control_tokens=True)
    assert client.app.state.context.models.named(None).chat.renderings == [expected, expected]


@pytest.mark.parametrize("path", ["/v1/tokenizer_info", "/tokenizer_info"])
def test_the_special_tokens_and_the_template_are_returned(client, path):
    got = client.get(path, params={"model": "fake"}).json()

    assert (got["eos_token"], got["chat_template"]) == ("<eos>", "{{ messages }}")
    assert got["model_max_length"] == 100


def test_the_tokenizer_of_a_model_that_is_not_there_is_refused(client):
    got = client.get("/v1/tokenizer_info", params={"model": "other"})

    assert (got.status_code, got.json()["error"]["code"]) == (404, "model_not_found")
