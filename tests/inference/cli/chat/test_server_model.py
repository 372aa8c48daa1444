import pytest
from concordance_inference.chat.message_parts import joined
from concordance_inference.cli.chat.reply import ReplyEnd
from concordance_inference.cli.chat.server_model import ServerModel
from concordance_inference.cli.options import Chat
from concordance_inference.cli.server_client import ServerRefusedError
from concordance_inference.generation import ReportsDelta
from concordance_shared import ConcordanceError, Message

HI = [Message(role="user", content="hi")]


class FakeServer:
    """Sends the given chunks; records the requests."""

    url = "http://server"

    def __init__(self, *chunks):
        self.chunks = chunks
        self.bodies = []
        self.is_closed = False

    def model(self):
        return "served"

    def events(self, path, body):
        self.bodies.append(body)
        try:
            yield from self.chunks
        finally:
            self.is_closed = True

    def call(self, method, path, body=None):
        return {
            "/v1/models": {"data": [{"id": "served"}, {"id": "other"}]},
            "/v1/mods": {"data": [{"id": "avoid", "description": "Avoid words"}]},
        }[path]


def chunk(finish=None, **delta):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


USAGE = {
    "choices": [],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 5},
    },
}


@pytest.fixture(name="model")
def _model(monkeypatch):
    def make(*chunks):
        server = FakeServer(*chunks)
        monkeypatch.setattr(
            "concordance_inference.cli.chat.server_model.ServerClient", lambda url: server
        )
        return ServerModel("http://server"), server

    return make


def test_chunks_become_parts_and_an_end(model):
    served, server = model(
        chunk(role="assistant", content=""),
        chunk(reasoning_content="hm"),
        chunk(content="4"),
        chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "add"}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"a":'}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": "1}"}}]),
        chunk("tool_calls"),
        USAGE,
    )
    *parts, end = served.reply(HI, Chat(temperature=0.5, thinking_token_budget=7))
    message = joined(parts)

    assert (message.reasoning, message.content) == ("hm", "4")
    (call,) = message.tool_calls
    assert (call.function.name, call.function.arguments) == ("add", '{"a":1}')
    assert end == ReplyEnd(
        finish="tool_calls", prompt_tokens=9, cached_tokens=5, completion_tokens=4
    )
    (body,) = server.bodies
    assert (body["model"], body["temperature"], body["thinking_token_budget"]) == ("served", 0.5, 7)
    assert "reasoning_effort" not in body


def test_resumption_asks_to_continue_the_last_message(model):
    served, server = model(chunk(content="lo"), chunk("stop"), USAGE)
    said = [*HI, Message(role="assistant", content="Hel")]
    *parts, _ = served.resume(said, Chat(), None)

    assert joined(parts).content == "lo"
    assert server.bodies[0]["continue_final_message"] is True
    assert server.bodies[0]["add_generation_prompt"] is False
    assert server.bodies[0]["messages"] == said


def test_stop_closes_the_connection(model):
    served, server = model(chunk(content="a"), chunk(content="b"))
    reply = served.reply(HI, Chat())
    next(iter(reply))
    (end,) = reply.stop()

    assert server.is_closed
    assert (end.finish, end.completion_tokens) == ("interrupted", None)


def test_error_in_a_stream_is_raised(model):
    served, _ = model({"error": {"message": "it failed"}})

    with pytest.raises(ServerRefusedError, match="it failed"):
        list(served.reply(HI, Chat()))


def test_reports_are_passed_on(model):
    report = {"mod": "m", "step": 1, "data": {"a": 1}}
    served, _ = model({**chunk(content="a"), "concordance": {"reports": [report]}}, USAGE)
    reports = [u for u in served.reply(HI, Chat()) if isinstance(u, ReportsDelta)]

    assert [str(each) for each in reports[0].reports] == ['reported 1 m {"a":1}']


def test_model_is_one_of_the_server(model):
    served, server = model(USAGE)
    assert served.model_names() == ["served", "other"]
    with pytest.raises(ConcordanceError, match="no model 'othr'; did you mean 'other'"):
        served.switch("othr")
    served.switch("other")
    list(served.reply(HI, Chat()))

    assert server.bodies[0]["model"] == "other"


def test_mods_of_the_server_are_listed(model):
    served, _ = model()

    assert [(mod.name, mod.description) for mod in served.mods()] == [("avoid", "Avoid words")]
