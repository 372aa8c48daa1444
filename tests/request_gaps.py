"""How long a request keeps the engine's thread and the event loop, by any of its fields.

    cd tests && uv run python -m request_gaps                    # a tiny model
    cd tests && uv run python -m request_gaps --model embedded   # the embedded model

A server runs in this process. Requests are sent one after the other, each with one field that is
as large as its description in `/openapi.json` allows, or that is hard in another way. Time is the
CPU time of the thread between two points at which it can serve others: it does not depend on what
else the machine does.
"""

import argparse
import asyncio
import functools
import http.client
import itertools
import json
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from concordance_inference.engine.supervision.loop import EngineLoop
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.runtime import Runtime
from concordance_inference.server.app import ROUTES, create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.description.openapi import description
from concordance_inference.server.served_models import OneModel
from concordance_inference.server.transport.http_server import http_server
from tiny_folder import write_tiny_folder

SPEC = description(ROUTES)
SCHEMAS = SPEC["components"]["schemas"]

#: Bytes of a body with a large field: less than the limit, and more than any request has.
LARGE = 1_500_000

#: Seconds for one request.
PATIENCE_S = 60

#: The endpoints that generate, with a body that each accepts.
USER = {"role": "user", "content": "hi"}
ENDPOINTS = {
    "/v1/chat/completions": ("ChatCompletionRequest", {"messages": [USER], "max_tokens": 12}),
    "/v1/completions": ("CompletionRequest", {"prompt": "hi", "max_tokens": 12}),
    "/v1/responses": ("ResponseRequest", {"input": "hi", "max_output_tokens": 16}),
    "/v1/messages": ("MessagesRequest", {"messages": [USER], "max_tokens": 12}),
    "/v1/tokenize": ("TokenizeRequest", {"prompt": "hi"}),
    "/v1/detokenize": ("DetokenizeRequest", {"tokens": [1]}),
}


class Gaps:
    """The longest CPU time between two points at which a thread serves others, in seconds."""

    def __init__(self):
        """Start with none."""
        self.engine = self.loop = self.lock = 0.0
        self.slowest = ""  # the callback of the event loop
        self._engine_at = None

    def reset(self):
        """Forget what was measured."""
        self.__init__()

    @contextmanager
    def measured(self):
        """Measure all engines and event loops of this process while the context is open."""
        real_step, real_run = EngineLoop._step, asyncio.Handle._run

        def step(loop):
            real_step(loop)
            now = time.thread_time()
            self.engine = max(self.engine, now - (self._engine_at or now))
            self._engine_at = now

        def run(handle):
            start, name = time.thread_time(), repr(handle)
            real_run(handle)
            spent = time.thread_time() - start
            if spent > self.loop:
                self.loop, self.slowest = spent, name

        with (
            mock.patch.object(EngineLoop, "_step", step),
            mock.patch.object(asyncio.Handle, "_run", run),
            mock.patch.dict(sys.modules, {"uvloop": None}),  # whose callbacks cannot be measured
            self._heartbeat(),
        ):
            yield self

    @contextmanager
    def _heartbeat(self):
        """Measure for how long another thread keeps the interpreter's lock, and computes."""
        is_over = threading.Event()

        def beat():
            while not is_over.is_set():
                start, cpu_start = time.monotonic(), time.process_time()
                time.sleep(0.002)
                late = time.monotonic() - start - 0.002
                self.lock = max(self.lock, min(late, time.process_time() - cpu_start))

        thread = threading.Thread(target=beat)
        thread.start()
        yield
        is_over.set()
        thread.join()


def heavy(schema, size=LARGE, depth=0):
    """Yield large values of a schema, one for each of its alternatives."""
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
    for each in schema.get("anyOf", schema.get("oneOf", ())):
        yield from heavy(each, size, depth)
    kind = schema.get("type")
    if "enum" in schema:
        yield schema["enum"][-1]
    elif kind == "string":
        yield "x" * min(size, schema.get("maxLength", size))
        yield "é\n" * (min(size, schema.get("maxLength", size)) // 2)
    elif kind in ("integer", "number"):
        yield schema.get("maximum", 2**31 - 1)
        yield schema.get("minimum", 0)
    elif kind == "boolean":
        yield True
    elif kind == "array" and depth < 4:
        yield from map(list, _filled(schema, size, depth))
    elif kind == "object" and depth < 4:
        yield from _objects(schema, size, depth)
    elif not {"anyOf", "oneOf", "type"} & schema.keys():  # anything
        yield {f"k{i}": [i] for i in range(size // 16)}
        yield _nested(60)


def _filled(schema, size, depth):
    """Yield arrays, of many small items and of few large ones."""
    for share in (8, size // 4):
        for item in itertools.islice(heavy(schema.get("items", {}), share, depth + 1), 6):
            num = size // (len(json.dumps(item)) + 2)
            yield [item] * max(1, min(num, schema.get("maxItems", num)))


def _objects(schema, size, depth):
    known = schema.get("properties", {})
    required = schema.get("required", ())
    base = {name: next(iter(heavy(known[name], 8, depth + 1)), None) for name in required}
    for name, each in known.items():
        for value in itertools.islice(heavy(each, size, depth + 1), 4):
            yield {**base, name: value}
    more = schema.get("additionalProperties")
    if more is True or (more is None and not known):
        more = {}
    if isinstance(more, dict):
        num = min(size // 16, schema.get("maxProperties", size // 16))
        value = next(iter(heavy(more, 8, depth + 1)), 0)
        yield {f"{i}": value for i in range(num)}


def _nested(levels):
    value = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


def _schema_of(**fields):
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": fields}}
    }


def _tool(**parameters):
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


MANY = {f"name_{i}": {"type": "string", "maxLength": i + 1} for i in range(2000)}

#: Requests that are hard for what a field means, not for its size. By their name.
HARD = {
    "many messages": {"messages": [{"role": "user", "content": "a" * 20}] * 2048},
    "many alternating messages": {
        "messages": [{"role": ("user", "assistant")[i % 2], "content": "é"} for i in range(2047)]
    },
    "large message": {"messages": [{"role": "user", "content": "word " * 300_000}]},
    "message of one letter": {"messages": [{"role": "user", "content": "a" * LARGE}]},
    "message of spaces": {"messages": [{"role": "user", "content": " " * LARGE}]},
    "message of combining marks": {"messages": [{"role": "user", "content": "\u0300" * 400_000}]},
    "many parts": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 1024}] * 40
    },
    "schema with many properties": _schema_of(type="object", properties=MANY, required=[*MANY]),
    "schema with a large enum": _schema_of(enum=[f"value {i}" for i in range(50_000)]),
    "schema with large numbers": _schema_of(type="integer", minimum=1, maximum=10**300),
    "schema with large limits": _schema_of(type="string", minLength=10**6, maxLength=10**7),
    "schema with many items": _schema_of(type="array", items={"enum": ["a"]}, minItems=100_000),
    "schema with alternatives": _schema_of(
        anyOf=[{"type": "object", "properties": {f"k{i}": {}}} for i in range(1000)]
    ),
    "schema with nested repetitions": _schema_of(type="string", pattern="((a{1,60}){1,60}){1,60}"),
    "schema with a long pattern": _schema_of(type="string", pattern="(a|b|c)*" * 2000),
    "schema with a catastrophic pattern": _schema_of(type="string", pattern="^(a+)+$"),
    "schema with a Unicode pattern": _schema_of(type="string", pattern=r"\p{L}{1,200}" * 50),
    "recursive schema": _schema_of(
        **{"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}
    ),
    "logit_bias of many ids": {"logit_bias": {f"{i}": -1 for i in range(257)}},
    "penalties": {"presence_penalty": 2, "frequency_penalty": 2, "repetition_penalty": 2},
    "long stop strings": {"stop": ["\x00" + "a" * 1000 + f"{i}" for i in range(16)]},
    "many stop ids": {"stop_token_ids": [*range(256)], "ignore_eos": True},
    "many banned strings": {"banned_strings": [f"{chr(97 + i % 26)}{i}" for i in range(128)]},
    "logprobs of all": {"logprobs": True, "top_logprobs": 20, "sampled_logprobs": True},
    "prompt logprobs": {"prompt_logprobs": 20, "messages": [{**USER, "content": "a" * 60}]},
    "many choices": {"n": 8},
    "large tools": {"tools": [_tool(type="object", properties=MANY)] * 8},
    "many tools": {
        "tools": [
            {"type": "function", "function": {"name": f"f{i}", "parameters": {"type": "object"}}}
            for i in range(128)
        ],
        "tool_choice": "required",
    },
    "mods": {"mods": [{"name": "avoid", "params": {"words": ["a", "b"] * 500}}] * 16},
    "mod with a large parameter": {
        "mods": [{"name": "replace", "params": {"find": "x" * 100_000, "replacement": "y" * 10**6}}]
    },
    "forced text": {"mods": [{"name": "inject_at_start", "params": {"text": "word " * 100_000}}]},
    "unknown fields": {f"unknown_{i}": i for i in range(50_000)},
    "trace": {"trace": "full", "logprobs": True, "top_logprobs": 20},
}


#: A request that loads what the first one loads.
FIRST = ("first", "/v1/chat/completions", {"messages": [USER], **HARD["trace"]})


def cases():
    """Yield the name, the endpoint and the body of each request."""
    for endpoint, (name, base) in ENDPOINTS.items():
        for field, schema in SCHEMAS[name]["properties"].items():
            if field == "model":
                continue
            for i, value in enumerate(itertools.islice(heavy(schema), 12)):
                yield f"{endpoint} {field} #{i}", endpoint, {**base, field: value}
    base = ENDPOINTS["/v1/chat/completions"][1]
    for name, fields in HARD.items():
        yield f"hard: {name}", "/v1/chat/completions", {**base, **fields}
        yield (
            f"hard: {name}, streamed",
            "/v1/chat/completions",
            {**base, **fields, "stream": True, "stream_options": {"include_tokens": True}},
        )


@contextmanager
def server(model):
    """Serve a model in this process; yield where."""
    runtime = Runtime(model, ModCatalog(()), progress=lambda _: None)
    with runtime:
        context = ServerContext(models=OneModel(runtime, runtime.chat), mods=runtime.mods)
        serving = http_server(create_app(context), runtime.stop, grace_s=0.2)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]})
            thread.start()
            try:
                yield listener.getsockname()
            finally:
                serving.should_exit = True
                thread.join(30)


def post(address, path, data):
    """Send a request; return the status and the body of the response."""
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE_S)
    try:
        connection.request("POST", path, data, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@functools.cache
def model_of(address):
    """Return the id of the served model."""
    with urllib.request.urlopen("http://{}:{}/v1/models".format(*address), timeout=60) as response:
        return json.load(response)["data"][0]["id"]


def measure(address, gaps, chosen):
    """Yield the name of each request, its status, and its gaps on both threads."""
    for name, path, body in chosen:
        data = json.dumps({"model": model_of(address), **body}).encode()
        gaps.reset()
        try:
            status, _ = post(address, path, data)
        except TimeoutError:
            status = 0
        yield name, status, gaps.engine, gaps.loop, gaps.lock, gaps.slowest


def main():
    """Measure all requests, and print the longest gaps."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="a folder or `embedded`; by default a tiny model")
    parser.add_argument("--only", default="", help="requests whose name has this text")
    parser.add_argument("--limit-ms", type=float, default=250.0)
    parser.add_argument("--rows", type=int, default=25)
    options = parser.parse_args()
    chosen = [case for case in cases() if options.only in case[0]]
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or str(write_tiny_folder(Path(folder) / "m"))
        gaps = Gaps()
        with gaps.measured(), server(None if model == "embedded" else model) as address:
            rows = list(measure(address, gaps, [FIRST, *chosen]))[1:]
    rows.sort(key=lambda row: -max(row[2:5]))
    print(f"{len(rows)} requests; the longest gaps: engine's thread, event loop, lock, in ms:")
    for name, status, *gap, slowest in rows[: options.rows]:
        engine, loop, lock = (1000 * each for each in gap)
        print(f"{engine:8.1f} {loop:8.1f} {lock:8.1f}  {status}  {name}  {slowest[:150]}")
    return int(max(max(row[2:5]) for row in rows) * 1000 > options.limit_ms)


if __name__ == "__main__":
    sys.exit(main())
