import pytest
from concordance_inference.chat.message_parts import ContentText, joined
from concordance_inference.cli.chat.reply import Replaced, ReplyEnd
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


def test_the_oldest_messages_may_be_left_out(model):
    first = {"concordance": {"truncated_messages": 6}, **chunk(role="assistant", content="")}
    served, server = model(first, chunk(content="4"), chunk("stop"), USAGE)
    *_, end = served.reply(HI, Chat())
    assert server.bodies[0]["truncation"] == "auto"
    assert end.truncated_messages == 6


SAID = [*HI, Message(role="assistant", content="Hel")]
OPEN = [*HI, Message(role="assistant", content="", reasoning_content="hm")]


def test_resumption_without_a_response_continues_the_text(model):
    served, server = model(chunk(content="lo"), chunk("stop"), USAGE)
    *parts, _ = served.resume(SAID, Chat(), None)

    assert joined(parts).content == "lo"
    assert server.bodies[0]["continue_final_message"] is True
    assert server.bodies[0]["add_generation_prompt"] is False
    assert server.bodies[0]["messages"] == SAID


def test_resumption_of_a_response_names_it(model):
    served, server = model({"id": "chatcmpl-1", **chunk(content="Hel")}, chunk("length"), USAGE)
    first = served.reply(HI, Chat())
    list(first)
    replaced = {"concordance": {"replaced": {"content": 1}}}
    server.chunks = ({"id": "chatcmpl-2", **chunk(content="lo")}, {**chunk("stop"), **replaced})
    *_, changed, end = second = [*served.resume(SAID, Chat(temperature=0.5), first.cut)]

    body = server.bodies[1]
    assert (body["resume_from"], body["temperature"], body["model"]) == (
        "chatcmpl-1",
        0.5,
        "served",
    )
    assert not {"messages", "continue_final_message", "reasoning_effort"} & body.keys()
    assert (second[0], changed, end.finish) == (ContentText("lo"), Replaced(content=1), "stop")


def test_response_that_is_not_kept_continues_after_its_text(model):
    served, server = model({"id": "chatcmpl-1", **chunk("length", content="Hel")}, USAGE)
    first = served.reply(HI, Chat())
    list(first)

    def events(path, body):
        server.bodies.append(body)
        if "resume_from" in body:
            raise ServerRefusedError("not kept", status=404)
        yield from ({"id": "chatcmpl-2", **chunk("stop", content="lo")}, USAGE)

    server.events = events
    second = served.resume(SAID, Chat(), first.cut)
    *parts, _ = second

    assert joined(parts).content == "lo"
    assert server.bodies[-1]["continue_final_message"] is True
    assert second.cut.response_id == "chatcmpl-2"


@pytest.mark.parametrize(("messages", "names_it"), [(SAID, False), (OPEN, True)])
def test_stopped_response_continues_after_what_was_received(model, messages, names_it):
    served, server = model({"id": "chatcmpl-1", **chunk(content="Hel")}, chunk(content="lo"))
    first = served.reply(HI, Chat())
    next(iter(first))
    first.stop()
    list(served.resume(messages, Chat(), first.cut))

    assert ("resume_from" in server.bodies[1]) == names_it


def test_loop_is_the_end_of_a_reply(model):
    looped = {"choices": [{"delta": {}, "finish_reason": "stop", "stop_reason": "loop"}]}
    served, _ = model(chunk(content="aaa"), looped, USAGE)

    assert [*served.reply(HI, Chat())][-1].finish == "loop"


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
