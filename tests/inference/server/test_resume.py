"""Completions that are cut anywhere and resumed, through each API, on a tiny model."""

import json

import pytest
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.runtime import Runtime
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from starlette.testclient import TestClient
from tiny_folder import write_tiny_folder
from tool_folders import TOOLS as LISTED
from tool_folders import messages

#: Each byte is a token, also those of tags: a completion can be cut within a tag.
TEMPLATE = LISTED + messages("json_tools") + "{# <tool_call> </tool_call> <think> </think> #}"

SPEAKS = '''
from concordance_sdk import mod


@mod(name="speaks", max_backtrack=0)
class Speaks:
    """Lets the model sample the tokens of a text, whatever it is asked."""

    text: str

    def forward_pass(self, event, actions, tokenizer):
        ids = [*tokenizer.encode(self.text), min(tokenizer.eos_token_ids)]
        mask = bytearray(1 + tokenizer.vocab_size // 8)
        token_id = ids[min(event.step, len(ids) - 1)]
        mask[token_id // 8] |= 1 << token_id % 8
        return actions.adjust_logits(mask=bytes(mask))
'''

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TOOL = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 12}}\n</tool_call>'


@pytest.fixture(name="client", scope="module")
def _client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = write_tiny_folder(folder / "tiny")
    for name, fields in {
        "config.json": {"max_position_embeddings": 2048},
        "tokenizer_config.json": {"chat_template": TEMPLATE},
    }.items():
        path = model / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    (folder / "speaks.py").write_text(SPEAKS)
    catalog = ModCatalog([folder / "speaks.py"])
    with Runtime(str(model), catalog, progress=lambda _: None) as runtime:
        context = ServerContext(models=OneModel(runtime, runtime.chat), mods=catalog)
        client = TestClient(create_app(context), base_url="http://127.0.0.1:8000")
        client.model = runtime.model.id
        client.runtime = runtime
        yield client


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


def speaks(text):
    return {"mods": [{"name": "speaks", "params": {"text": text}}]}


#: What the model says, and the fields of the request.
SAID = {
    "text": ("Plain é€😀 text.", {}),
    "reasoning": ("<think>\nLet me see. \n</think>\n\nIt is 4.", {}),
    "call": (f"Wait. {CALL}", {"tools": [TOOL]}),
    "reasoning and call": (f"<think>Hm</think>{CALL}", {"tools": [TOOL]}),
    "almost a call": ("a < b, <tool and <tool_cal", {"tools": [TOOL]}),
    "stop string": ("One END Two", {"stop": ["END"]}),
    "format": (
        '{"a": 12}',
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "s", "schema": SCHEMA},
            }
        },
    ),
}


EVERY_CUT = [pytest.param(1, marks=pytest.mark.slow), 9]
STREAMS = [(False, False), (True, True), (True, False)]


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("step", EVERY_CUT)
def test_a_message_cut_at_any_token_and_resumed_is_the_uncut_one(client, name, streams, step):
    text, fields = SAID[name]
    fields = {**fields, **speaks(text)}
    whole = chat(client, **fields)

    for cut in range(1, whole.usage["completion_tokens"], step):
        first = chat(client, stream=streams[0], **fields, max_tokens=cut)
        if first.reason != "length":
            break  # the call or the text is complete
        rest = {"resume_from": first.id, "max_tokens": 200}
        second = chat(client, stream=streams[1], messages=None, **rest)

        assert_equal(first.then(second), whole)
        assert second.reason == whole.reason
        assert second.about["resumed_from"] == first.id
        assert second.usage["prompt_tokens"] == first.usage["prompt_tokens"] + cut
        ends = first.usage["completion_tokens"] + second.usage["completion_tokens"]
        assert ends == whole.usage["completion_tokens"]
        cached = second.usage["prompt_tokens_details"]["cached_tokens"]
        assert second.usage["prompt_tokens"] - cached <= 1


def assert_equal(message, whole):
    assert (message.content, message.reasoning) == (whole.content, whole.reasoning)
    assert [*message.calls.values()] == [*whole.calls.values()]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SAID)
def test_a_message_resumed_after_each_token_is_the_uncut_one(client, name, stream):
    text, fields = SAID[name]
    fields = {**fields, **speaks(text)}
    whole = chat(client, **fields)
    message = part = chat(client, stream=stream, **fields, max_tokens=1)
    while part.reason == "length":
        rest = {"resume_from": part.id, "max_tokens": 1}
        part = chat(client, stream=stream, messages=None, **rest)
        message = message.then(part)

    assert_equal(message, whole)
    assert part.reason == whole.reason
