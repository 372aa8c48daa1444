"""Chat completions over HTTP as a client assembles them from parts that were cut."""

import json


def post(client, path, **body):
    got = client.post(path, json={"model": client.model, **body})
    assert got.status_code == 200, got.text
    return got


class Message:
    """A chat completion as a client assembles it."""

    def __init__(self, body=None):
        self.content = self.reasoning = ""
        self.calls = {}
        self.about = {}
        if body:
            (choice,) = body["choices"]
            self.id, self.usage = body["id"], body["usage"]
            self._take(choice["message"])
            self.reason = choice["finish_reason"]
            self.about = body.get("concordance", {})

    def _take(self, message):
        self.content += message.get("content") or ""
        self.reasoning += message.get("reasoning") or ""
        for i, call in enumerate(message.get("tool_calls") or ()):
            known = self.calls.setdefault(call.get("index", i), {"name": "", "arguments": ""})
            for key, text in call["function"].items():
                known[key] += text

    @classmethod
    def streamed(cls, lines):
        message = cls()
        for line in lines:
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            assert "error" not in chunk, chunk
            message.id = chunk["id"]
            for choice in chunk["choices"]:
                message._take(choice["delta"])
                message.reason = choice["finish_reason"]
            message.about |= chunk.get("concordance", {})
            message.usage = chunk.get("usage")
        return message

    def then(self, other):
        """The message that a client has after the rest of it."""
        replaced = other.about.get("replaced", {})
        joined = Message()
        for name in ("content", "reasoning"):
            text = getattr(self, name)
            text = text[: len(text) - replaced.get(name, 0)] + getattr(other, name)
            setattr(joined, name, text)
        calls = [*self.calls.values()]
        calls = calls[: len(calls) - replaced.get("tool_calls", 0)]
        joined.calls = dict(enumerate([*calls, *other.calls.values()]))
        return joined


def chat(client, *, stream=False, **body):
    body = {"messages": [{"role": "user", "content": "A question to ask"}], **body}
    if body["messages"] is None:
        del body["messages"]
    if not stream:
        return Message(post(client, "/v1/chat/completions", **body).json())
    options = {"stream": True, "stream_options": {"include_usage": True}}
    got = post(client, "/v1/chat/completions", **options, **body)
    return Message.streamed(got.text.splitlines())


def assert_equal(message, whole):
    assert (message.content, message.reasoning) == (whole.content, whole.reasoning)
    assert [*message.calls.values()] == [*whole.calls.values()]
