"""Random completions of a tiny gpt-oss with the real vocabulary, judged by openai-harmony.

    cd tests && uv run python -m harmony_soak --completions 10000 --seed 1

The model likes structural tokens and the words of headers. Requests have tools with each
`tool_choice`, response formats, or neither. Of every completion:

- the headers are those that its request allows,
- the library parses it in its strict mode, up to a header that the end of the tokens cuts,
- the library's parse is what clients get,
- calls are those that `tool_choice` allows, and JSON is valid where it is asked for.
"""

import argparse
import json
import sys
import time
from collections import Counter

import mlx.core as mx
import o200k
from concordance_inference.bench.scripted_gpt_oss import ScriptedModel
from concordance_inference.chat.message_reader import read_message
from concordance_inference.chat.request import build_request
from concordance_inference.generation import Completed, SamplingParams, new_request_id
from concordance_inference.harmony.encoding import TOKENS, harmony_encoding
from concordance_inference.harmony.parse import parsed, shown
from concordance_inference.harmony.reader import HarmonyReader
from concordance_inference.output_format import format_of
from concordance_inference.tools.offer import ToolChoice
from concordance_shared import (
    FunctionSchema,
    JsonSchemaFormat,
    Message,
    ResponseFormat,
    Schemas,
    Tool,
)
from msgspec.structs import replace

ROWS = 8
MAX_TOKENS = 24

#: What is added to the logits of structural tokens, and of words that headers have.
LIKED, LIKED_WORDS = 12.0, 8.0
WORDS = ("assistant", "analysis", "final", "commentary", " to", "=", "functions", ".", " json", "{")

#: Bounded, so that an object ends soon.
SCHEMA = {
    "type": "object",
    "properties": {"day": {"enum": ["today", "tomorrow"]}, "hours": {"enum": [1, 2, 3]}},
    "required": ["day"],
    "additionalProperties": False,
}
TOOLS = tuple(
    Tool(function=FunctionSchema(name=name, description="Look", parameters=SCHEMA))
    for name in ("get_weather", "get_weather_now", "a")
)
FORMAT = ResponseFormat(
    type="json_schema", json_schema=JsonSchemaFormat(name="plan", schema=SCHEMA)
)

#: Kind of request -> its tools and format, its choice, and the tools that may be called.
KINDS = {
    "plain": (Schemas(), ToolChoice(), ()),
    "auto": (Schemas(tools=TOOLS), ToolChoice(), ("get_weather", "get_weather_now", "a")),
    "required": (
        Schemas(tools=TOOLS),
        ToolChoice(mode="required"),
        ("get_weather", "get_weather_now", "a"),
    ),
    "named": (
        Schemas(tools=TOOLS),
        ToolChoice(mode="required", names=("get_weather",)),
        ("get_weather",),
    ),
    "none": (Schemas(tools=TOOLS), ToolChoice(mode="none"), ()),
    "format": (Schemas(response_format=FORMAT), ToolChoice(), ()),
    "format, tools": (
        Schemas(tools=TOOLS, response_format=FORMAT),
        ToolChoice(),
        ("get_weather", "get_weather_now", "a"),
    ),
}


class Soak:
    """Generates completions and collects what is wrong with them."""

    def __init__(self, seed):
        self.model = ScriptedModel(hidden_size=8, intermediate_size=8, num_hidden_layers=2)
        self.engine = self.model.engine(max_rows=ROWS, prefix_bytes=None)
        self.encoding = harmony_encoding(o200k.vocabulary())
        self.seed = seed
        mx.set_cache_limit(256 * 1024 * 1024)
        self.faults = []
        self.counts = Counter()
        self.requests = {kind: self._request(kind) for kind in KINDS}

    def _request(self, kind):
        schemas, choice, _ = KINDS[kind]
        encode = self.model.tokenizer.encode
        bias = dict.fromkeys((i for word in WORDS for i in encode(word)), LIKED_WORDS)
        bias |= dict.fromkeys((*o200k.SPECIAL, 200001, 200010), LIKED)
        for _ in range(20):  # compiling a schema has a time limit
            request = build_request(
                [Message(role="user", content="Plan a walk.")],
                self.model.chat,
                self.model.info,
                schemas=schemas,
                output=format_of(schemas.response_format),
                tool_choice=choice,
                max_tokens=MAX_TOKENS,
                sampling=SamplingParams(logit_bias=bias),
            )
            (end,) = self._run([replace(request, request_id=new_request_id(), max_tokens=1)])
            if isinstance(end, Completed):
                return request
        raise end.error

    def run(self, first, count):
        """Run completions with these numbers."""
        kinds = [list(KINDS)[i % len(KINDS)] for i in range(first, first + count)]
        requests = [
            replace(
                self.requests[kind],
                request_id=new_request_id(),
                sampling=replace(
                    self.requests[kind].sampling, seed=hash((self.seed, first + i)) % 2**62
                ),
            )
            for i, kind in enumerate(kinds)
        ]
        for i, (kind, request, end) in enumerate(
            zip(kinds, requests, self._run(requests), strict=True), first
        ):
            for fault in self.judge(kind, request, end):
                ids = list(getattr(end, "token_ids", ()))
                self.faults.append((i, kind, fault, self.encoding.decode(ids)))

    def _run(self, requests):
        ends = [[] for _ in requests]
        for request, updates in zip(requests, ends, strict=True):
            self.engine.submit(request, updates.append)
        while self.engine.has_work:
            self.engine.step()
        return [updates[-1] for updates in ends]

    def judge(self, kind, request, end):
        """Yield what is wrong with a completion."""
        if not isinstance(end, Completed):
            yield f"failed: {end.error}"
            return
        ids = list(end.token_ids)
        ended = ids[-1] in TOKENS.stop_ids
        self.counts["tokens"] += len(ids)
        self.counts["ended" if ended else "cut"] += 1
        whole = ids if ended or self._is_in_message(ids) else self._without_last_header(ids)
        self.counts["cut within a header"] += whole is not ids
        messages = self._messages(whole)
        if messages is None:
            yield "the library refuses it"
            return
        self.counts["messages"] += len(messages)
        yield from self._wrong_headers(kind, messages)
        theirs = parsed(self.encoding, request, end)
        if theirs is not None:
            ours = shown(read_message(HarmonyReader(request.harmony, request.offer), end))
            if ours != theirs:
                yield f"read as {ours}, and by the library as {theirs}"
        if ended:
            yield from self._wrong_end(kind, messages)

    @staticmethod
    def _is_in_message(ids):
        marks = [i for i in ids if i in (TOKENS.start, TOKENS.message, TOKENS.end)]
        return bool(marks) and marks[-1] == TOKENS.message

    @staticmethod
    def _without_last_header(ids):
        marks = [i for i, token_id in enumerate(ids) if token_id == TOKENS.start]
        is_between = ids[-1] == TOKENS.end
        return ids if is_between else ids[: marks[-1]] if marks else []

    def _messages(self, ids):
        from openai_harmony import HarmonyError, Role

        try:
            return self.encoding.parse_messages_from_completion_tokens(
                ids, Role.ASSISTANT, strict=True
            )
        except HarmonyError:
            return None

    @staticmethod
    def _wrong_headers(kind, messages):
        schemas, choice, names = KINDS[kind]
        has_tools = bool(schemas.tools) and choice.mode != "none"
        channels = {"analysis", "final", "commentary"} if has_tools else {"analysis", "final"}
        for message in messages:
            to, of = message.recipient, (message.author.role.value, message.channel)
            if of[0] != "assistant" or of[1] not in channels:
                yield f"a message of {of}"
            if to is not None and to.removeprefix("functions.") not in names:
                yield f"a message to {to}"
            if to is not None and of[1] != "commentary":
                yield f"a call in {of}"
            if message.content_type not in (None, "<|constrain|>json", "json", "code"):
                yield f"content of the type {message.content_type}"

    @staticmethod
    def _wrong_end(kind, messages):
        schemas, choice, _ = KINDS[kind]
        calls = [message for message in messages if message.recipient]
        if choice.mode == "required" and not calls:
            yield "no call"
        for message in messages:
            text = message.content[0].text
            is_json = message.recipient or (message.channel == "final" and schemas.response_format)
            if is_json and json.loads(text).get("day") not in ("today", "tomorrow"):
                yield f"{text!r} is not as the schema asks"


def show(line):
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main():
    """Run completions in batches, and print what is wrong with them and how many there were."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--completions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cpu-seconds", type=float, default=1e9, help="stop after these")
    options = parser.parse_args()
    soak, num, start = Soak(options.seed), 0, time.process_time()
    while num < options.completions and time.process_time() - start < options.cpu_seconds:
        count = min(4 * ROWS, options.completions - num)
        soak.run(num, count)
        num += count
        seconds = time.process_time() - start
        show(f"{num} completions, {len(soak.faults)} faults, {seconds:.0f} s")
    for fault in soak.faults[:20]:
        show(" | ".join(map(str, fault)))
    show(str(dict(soak.counts)))
    return bool(soak.faults)


if __name__ == "__main__":
    raise SystemExit(main())
