"""The official clients of both APIs, with a key, without the right one, and with too little."""

import anthropic
import openai
import pytest
from keyed import URL

CHAT = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(name="openai_with")
def _openai_with(server):
    def client(key):
        http = server.client()
        return openai.OpenAI(base_url=f"{URL}/v1", api_key=key, http_client=http, max_retries=2)

    return client


@pytest.fixture(name="anthropic_with")
def _anthropic_with(server):
    def client(**given):
        http = server.client()
        return anthropic.Anthropic(base_url=URL, http_client=http, max_retries=2, **given)

    return client


def test_openais_client_sends_its_key_for_bodies_streams_and_lists(server, openai_with):
    client = openai_with(server.key("infer")[1])

    assert client.chat.completions.create(**CHAT).choices[0].message.content == "Hello"
    stream = client.chat.completions.create(**CHAT, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hello"
    assert client.responses.create(model="fake", input="hi").output_text == "Hello"
    assert client.models.list().data[0].id == "fake"


@pytest.mark.parametrize("kind", ["api_key", "auth_token"])
def test_anthropics_client_sends_its_key_in_either_header(server, anthropic_with, kind):
    client = anthropic_with(**{kind: server.key("infer")[1]})
    message = client.messages.create(max_tokens=5, **CHAT)

    assert message.content[0].text == "Hello"
    with client.messages.stream(max_tokens=5, **CHAT) as stream:
        assert "".join(stream.text_stream) == "Hello"
    assert client.models.list().data[0].id == "fake"


def test_both_clients_raise_their_own_errors_and_do_not_retry(server, openai_with, anthropic_with):
    with pytest.raises(openai.AuthenticationError) as refused:
        openai_with("none").chat.completions.create(**CHAT)
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(anthropic.AuthenticationError) as refused:
        anthropic_with(api_key="none").messages.create(max_tokens=5, **CHAT)
    assert refused.value.body["error"]["type"] == "authentication_error"
    secret = server.key("metrics")[1]
    with pytest.raises(openai.PermissionDeniedError):
        openai_with(secret).chat.completions.create(**CHAT)
    with pytest.raises(anthropic.PermissionDeniedError):
        anthropic_with(api_key=secret).messages.create(max_tokens=5, **CHAT)
    assert server.engine.requests == []
