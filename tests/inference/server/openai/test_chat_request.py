"""Chat requests as the engine and the chat template get them."""

import pytest
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from fake_engine import FakeChat, FakeEngine
from sandboxes import mod_catalog
from starlette.testclient import TestClient

BODY = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


class VerboseChat(FakeChat):
    options = frozenset({"verbosity"})


def rendered(chat, **fields):
    """The options that the template gets, and the status."""
    app = create_app(ServerContext(models=OneModel(FakeEngine(), chat), mods=mod_catalog()))
    client = TestClient(app, base_url="http://127.0.0.1:8000")
    status = client.post("/v1/chat/completions", json={**BODY, **fields}).status_code
    return (chat.rendered or [None])[-1], status


@pytest.mark.parametrize("verbosity", ["low", "medium", "high"])
def test_a_template_that_reads_the_verbosity_gets_it(verbosity):
    assert rendered(VerboseChat(), verbosity=verbosity) == ({"verbosity": verbosity}, 200)


def test_a_template_variable_precedes_the_verbosity():
    options, status = rendered(
        VerboseChat(), verbosity="low", chat_template_kwargs={"verbosity": "high"}
    )

    assert (options, status) == ({"verbosity": "high"}, 200)


def test_the_verbosity_is_ignored_by_other_templates():
    options, status = rendered(FakeChat(), verbosity="high")

    assert (not options, status) == (True, 200)


def test_another_verbosity_is_refused():
    assert rendered(FakeChat(), verbosity="huge") == (None, 400)


NO = "I cannot."


class ReadingChat(FakeChat):
    def render(self, messages, *options, **named):
        self.messages = messages
        return super().render(messages, *options, **named)


def sent(*messages):
    """The messages that the template gets, or the error."""
    chat = ReadingChat()
    app = create_app(ServerContext(models=OneModel(FakeEngine(), chat), mods=mod_catalog()))
    client = TestClient(app, base_url="http://127.0.0.1:8000")
    response = client.post("/v1/chat/completions", json={**BODY, "messages": list(messages)})
    if response.status_code != 200:
        return response.json()["error"]
    return [(message.role, message.text) for message in chat.messages]


@pytest.mark.parametrize(
    "said",
    [
        {"content": [{"type": "refusal", "refusal": NO}]},
        {"content": [{"type": "text", "text": "I "}, {"type": "refusal", "refusal": "cannot."}]},
        {"content": None, "refusal": NO},
        {"content": NO, "refusal": None},
        {"content": NO, "refusal": ""},
    ],
)
def test_a_refusal_in_the_history_is_text_of_the_assistant(said):
    asked = {"role": "user", "content": "hi"}

    assert sent(asked, {"role": "assistant", **said}, asked)[1] == ("assistant", NO)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user", "content": [{"type": "refusal", "refusal": NO}]}, "content[0].type"),
        ({"role": "assistant", "content": [{"type": "refusal"}]}, "content[0].refusal"),
        ({"role": "assistant", "content": [{"type": "refusal", "text": NO}]}, "content[0].refusal"),
        ({"role": "user", "content": None, "refusal": NO}, "refusal"),
        ({"role": "assistant", "content": "Yes.", "refusal": NO}, "refusal"),
    ],
)
def test_a_refusal_that_is_no_text_of_the_assistant_is_refused(message, param):
    assert sent(message)["param"] == f"messages[0].{param}"
